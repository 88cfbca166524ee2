"""Comparison of two lists of class names."""

from __future__ import annotations

import pytest

from swinv2_dense.checks.class_lists import check_same_classes, first_difference
from swinv2_dense.errors import ConfigError


def test_first_difference():
    assert first_difference((), ()) is None
    assert first_difference(['a', 'b'], ('a', 'b')) is None
    assert first_difference(['a'], ['a', 'b'], ('old', 'new')) == (
        "class 1 is none in old and 'b' in new (old has 1 classes, new 2)"
    )


def test_another_order_is_an_error():
    check_same_classes(('train', ['a', 'b']), ('val', ('a', 'b')))
    message = r"class 0 is 'a' in train and 'b' in val \(the same 2 names in another order\): .*"
    with pytest.raises(ConfigError, match=f'{message}both lists must be identical'):
        check_same_classes(('train', ['a', 'b']), ('val', ['b', 'a']))
