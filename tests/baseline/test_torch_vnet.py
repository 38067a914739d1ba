"""The PyTorch twin is MONAI's V-Net."""

import pytest

torch = pytest.importorskip("torch")
nets = pytest.importorskip("monai.networks.nets")

from benchmarks.torch_vnet import Cascade, VNet, loss_of  # noqa: E402


@pytest.mark.parametrize(("act", "channels"), [("elu", 1), ("prelu", 4)])
def test_the_twin_has_monais_names_and_values(act, channels):
    torch.manual_seed(0)
    theirs = nets.VNet(3, channels, 3, act=act, dropout_prob_up=(0.0, 0.0))
    ours = VNet(channels, 3, activation=act)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(1, channels, 16, 32, 16)
    with torch.no_grad():
        expected = theirs.eval()(x)
        (got,) = ours.eval()(x)
    assert torch.equal(got, expected)
    assert got.shape == (1, 3, 16, 32, 16)


def test_the_twin_trains_as_monais_does():
    torch.manual_seed(0)
    theirs = nets.VNet(3, 1, 3, dropout_prob_down=0.0, dropout_prob_up=(0.0, 0.0))
    theirs.up_tr64.dropout2.p = theirs.up_tr32.dropout2.p = 0.0
    ours = VNet(1, 3, dropout=0.0)
    ours.load_state_dict(theirs.state_dict())
    x, labels = torch.randn(2, 1, 16, 16, 32), torch.randint(3, (2, 16, 16, 32))
    expected = torch.nn.functional.cross_entropy(theirs(x), labels)
    expected.backward()
    loss = loss_of(ours(x), labels)
    loss.backward()
    assert torch.equal(loss, expected)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name


def test_dropout_stands_where_monai_has_it():
    """The rates, not the draws: 0.5 by default in both."""
    theirs, ours = nets.VNet(3, 1, 3), VNet()

    def rates(net):
        kinds = (torch.nn.Dropout3d,)
        named = ((n, m.p) for n, m in net.named_modules() if isinstance(m, kinds))
        return {name: p for name, p in named if p}

    assert rates(ours) == rates(theirs)
    assert set(rates(ours).values()) == {0.5}


@pytest.mark.parametrize("summation", ["per_stage", "per_conv", "none"])
def test_gradients_reach_stage_1_through_the_links(summation):
    torch.manual_seed(0)
    net = Cascade(width=4, summation=summation, dropout=0.0)
    second = net(torch.randn(2, 1, 16, 16, 32))[1]
    second.square().mean().backward()
    assert net.stage1.in_tr.conv_block.conv.weight.grad.abs().max() > 0


def test_an_unknown_summation_is_refused():
    with pytest.raises(ValueError, match="summation is 'all'"):
        Cascade(summation="all")
