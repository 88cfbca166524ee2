"""Which files are videos."""

from __future__ import annotations

VIDEO_SUFFIXES = ('.mp4', '.mkv', '.avi', '.mov', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.flv')

UNREAD_SUFFIXES = (  # formats in which decoders do not find frames reliably
    *('.ts', '.mts', '.m2ts', '.m2v', '.vob', '.3gp', '.3g2', '.ogv', '.asf', '.f4v'),
    *('.rm', '.rmvb', '.divx', '.mxf', '.mpe', '.mjpg', '.mjpeg', '.gif', '.y4m', '.hevc'),
)
