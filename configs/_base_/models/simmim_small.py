# SimMIM on a backbone of three stages for images of 64 pixels on a CPU. Its units are 16 pixels
# wide, the stride of the last stage. The targets are not normalized: this is learned faster.
_base_ = './simmim.py'
model = dict(
    normalize_targets=False,
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=32, depths=(2, 2, 2), num_heads=(1, 2, 4)),
        window_size=8,
        pretrained_window_sizes=None,
        drop_path_rate=0.0,
        out_indices=(2,),
        # See upernet_small.py.
        init_cfg=[
            dict(type='Xavier', layer='Linear'),
            dict(type='Constant', layer='LayerNorm', val=1.0),
        ],
    ),
)
