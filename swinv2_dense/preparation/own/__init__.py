"""From an annotated folder in any common format to a dataset that `own_*` configs read.

    SRC --recognize--> a reader --> Found --audit, split--> a writer --> data/own, own.py

    readers   coco  yolo  voc  labelme  label_maps  class_folders  path_table
    writers   write_objects (COCO JSON)  write_maps (PNG of ids)  write_folders (one per class)

Each reader has `evidence(source)`, which says why a folder looks like its format (or returns ''),
and `read(source, notes, options)`, which returns a `found.Found`. SRC is never changed.

The files are parsed here. supervision (MIT) turns masks into bitmaps of the whole image, rounds
points of polygons to pixels, drops VOC's `difficult` and reads no splits; globox (MIT) reads boxes
only; datumaro (MIT) needs NumPy 2 and another OpenCV than OpenMMLab's packages.
"""
