# Plain-DETR with absolute position encodings alone, without BoxRPB: 37.2 AP on val2017 (Table 2,
# row 1, released code impiga/Plain-DETR).
_base_ = './plain-detr_swinv2-s-w16_16xb1-1x_coco.py'
model = dict(decoder=dict(box_rpb=False))
expected = [dict(metric='coco/bbox_mAP', value=0.372, tolerance=0.003, source='Table 2, row 1')]
