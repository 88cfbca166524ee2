# UperNet with group norm, for gradient accumulation: batch norm would use the statistics of a
# single pass, while group norm gives the gradients of the whole batch.
_base_ = './upernet.py'
norm_cfg = dict(_delete_=True, type='GN', num_groups=32)
model = dict(decode_head=dict(norm_cfg=norm_cfg), auxiliary_head=dict(norm_cfg=norm_cfg))
