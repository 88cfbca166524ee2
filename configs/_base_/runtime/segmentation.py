# mmseg's runtime; test-time augmentation (tools/test.py --tta) in the memory of a plain test.
_base_ = 'mmseg::_base_/default_runtime.py'
tta_model = dict(type='TiledSegTTAModel')
