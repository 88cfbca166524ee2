"""The scope 'swinv2_pretraining', in whose registries configs of this task look up names.

They are empty: mmengine looks in them first and then in its own, where everything is registered.
"""

from __future__ import annotations

import sys

from ..registry import child_registries

SCOPE = 'swinv2_pretraining'
CHILDREN = child_registries(SCOPE)
# mmengine imports `SCOPE.registry` before it looks up a name, as if the scope were a package.
sys.modules[f'{SCOPE}.registry'] = sys.modules[__name__]
