"""Which samples belong together: frames of a video, tiles of an image, augmented copies."""

from __future__ import annotations

import posixpath
import re

# Each takes the name without its suffix to the part that siblings share.
PATTERNS = (
    r'(?P<group>.+)\.rf\.[0-9a-zA-Z]+',  # Roboflow's copies of an image
    r'(?P<group>.+[._-](?:mp4|avi|mov|mkv|webm|m4v|mpg))[-_.]?\d+(?:[-_.](?:jpg|jpeg|png))?',
    r'(?P<group>.*?)[-_. ]?(?:frame|frames|frm|fr)[-_. ]?\d+',  # frames
    r'(?P<group>.+?)[-_](?:tile|patch|crop|slice)(?:[-_x]?\d+)+',  # tiles
    r'(?P<group>.+?)[-_]x\d+[-_]?y\d+',
    r'(?P<group>.+?)[-_](?:r|row)\d+[-_]?(?:c|col)\d+',
    r'(?P<group>.+?)__\d+(?:\.\d+)?__-?\d+_+-?\d+',  # DOTA: name__scale__x___y
    r'(?P<group>.+?)[-_]aug(?:mented)?[-_]?\d*',
    r'(?P<group>.+_g\d+)_c\d+',  # UCF101: clips of one group
    r'(?P<group>.{11})_\d{6}_\d{6}',  # Kinetics: clips of one video
)
COMPILED = [re.compile(pattern, re.IGNORECASE) for pattern in PATTERNS]


def group_of(name: str) -> str:
    """A key that the siblings of a file share.

    Args:
        name: Relative path with forward slashes.
    """
    folder, base = posixpath.split(name)
    stem = posixpath.splitext(base)[0]
    while True:  # Roboflow's copies of frames have both endings
        match = next((m for pattern in COMPILED if (m := pattern.fullmatch(stem))), None)
        if match is None or not stem:
            return f'{folder}/{stem}'  # of frame_0001, the folder: it is the video
        stem = match['group']
