"""mmengine imports this module before it looks up a name in the scope `toy_task`."""

from swinv2_dense.registry import child_registries

CHILDREN = child_registries('toy_task')
