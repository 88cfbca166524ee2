# Exponential moving average of the weights: add it to `_base_`. Validation and tests use the
# average, which checkpoints store next to the weights. None of the paper's configs uses it.
# Our commands append each `custom_hooks_NAME` to `custom_hooks`, because two bases may not define
# the same key. If another program runs the training, write the list as `custom_hooks` in your
# config.
custom_hooks_ema = [dict(type='EMAHook', momentum=0.0002)]
