# Exponential moving average of the weights: add it to `_base_`. Validation and tests take the
# average, which a checkpoint holds beside the weights. No config of the paper has it.
custom_hooks = [dict(type='EMAHook', momentum=0.0002)]
