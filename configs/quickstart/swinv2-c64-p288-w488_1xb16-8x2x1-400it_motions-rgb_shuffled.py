# Probes the recognizer of the quickstart with shuffled frames.
_base_ = './swinv2-c64-p288-w488_1xb16-8x2x1-400it_motions-rgb.py'
test_dataloader = dict(
    dataset=dict(
        pipeline=[*_base_.test_pipeline[:3], dict(type='ShuffleFrames'), *_base_.test_pipeline[3:]]
    )
)
expected = [  # the goals of tools/quickstart.py
    dict(metric='acc/top1', at_most=0.6, source='quickstart'),
]
