# UperNet with group norm, for gradient accumulation: batch norm would see the statistics of a part
# of the batch, group norm gives the gradients of the whole.
_base_ = './upernet.py'
norm_cfg = dict(_delete_=True, type='GN', num_groups=32)
model = dict(decode_head=dict(norm_cfg=norm_cfg), auxiliary_head=dict(norm_cfg=norm_cfg))
