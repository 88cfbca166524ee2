# SimMIM on the backbone of upernet_small.py, for images of 128 pixels on a CPU.
_base_ = './simmim.py'
model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8)),
        window_size=8,
        pretrained_window_sizes=None,
        drop_path_rate=0.0,
        # See upernet_small.py.
        init_cfg=[
            dict(type='Xavier', layer='Linear'),
            dict(type='Constant', layer='LayerNorm', val=1.0),
        ],
    ),
)
