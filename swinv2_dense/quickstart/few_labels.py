"""Pictures of the example of pre-training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

COUNT, COLUMNS, SCALE = 6, 2, 0.5  # of the pictures on a sheet


def draw_reconstructions(folder: Path, out: Path) -> None:
    """Write a sheet of the first pictures below a folder, all of the same size."""
    paths = sorted(path for path in folder.rglob('*.*') if path.is_file())[:COUNT]
    pictures = [cv2.imread(str(path)) for path in paths]
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    rows = -(-len(pictures) // COLUMNS)
    sheet = np.full((rows * height, COLUMNS * width, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = height * (index // COLUMNS), width * (index % COLUMNS)
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    sheet = cv2.resize(sheet, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out), sheet)
