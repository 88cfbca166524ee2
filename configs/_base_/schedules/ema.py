# Exponential moving average of the weights: add it to `_base_`. Validation and tests take the
# average, which a checkpoint holds beside the weights. No config of the paper has it.
# The tools add each `custom_hooks_NAME` to `custom_hooks`: no two bases may define the same key.
# Where another program trains, write the list as `custom_hooks` in your own config.
custom_hooks_ema = [dict(type='EMAHook', momentum=0.0002)]
