import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from torch.nn import functional as F

from reidtrain.models.layers import block_diagonal, conv


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "stride", "bias"), [(1, 1, True), (3, 1, False), (3, 2, False)])
def test_one_dense_convolution_is_the_same_as_one_by_groups(groups, kernel, stride, bias, memory_format):
    layer = conv(3, 5, kernel, stride, groups=groups, bias=bias).double()
    x = torch.randn(2, 3 * groups, 8, 6, dtype=torch.float64)
    layer.to(memory_format=memory_format)
    weight = block_diagonal(layer.weight, groups)

    assert weight.is_contiguous(memory_format=memory_format)
    assert weight.shape == (5 * groups, 3 * groups, kernel, kernel)
    dense = F.conv2d(x, weight, layer.bias, layer.stride, layer.padding)
    torch.testing.assert_close(dense, layer(x))
    (theirs,) = torch.autograd.grad(layer(x).square().sum(), layer.weight)
    (ours,) = torch.autograd.grad(dense.square().sum(), layer.weight)
    torch.testing.assert_close(ours, theirs)
