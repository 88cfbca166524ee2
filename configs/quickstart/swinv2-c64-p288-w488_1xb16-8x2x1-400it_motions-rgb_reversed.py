# Probes the recognizer of the quickstart with frames in reverse order.
_base_ = './swinv2-c64-p288-w488_1xb16-8x2x1-400it_motions-rgb.py'
test_dataloader = dict(
    dataset=dict(
        pipeline=[*_base_.test_pipeline[:3], dict(type='ReverseFrames'), *_base_.test_pipeline[3:]]
    )
)
expected = [  # the goals of tools/quickstart.py
    dict(metric='pair/swapped', at_least=0.9, source='quickstart'),
]
