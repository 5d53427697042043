"""The U-Net: each part against torch's own, and the whole for shapes, nulls and its start at 0."""

import pytest
import torch
import torch.nn.functional as F

from t2i_course.contract import Condition, T2IError
from t2i_course.models.unet import Attention, Conv, CrossAttention, UNet, norm_relu, unpatch


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def unet(**own) -> UNet:
    small = {
        "image_shape": (1, 8, 8), "condition_dim": 3, "widths": (8, 12), "blocks": 1, "patch": 2,
        "attention": True,
    }  # fmt: skip
    torch.manual_seed(0)
    return UNet(**{**small, **own})


def stirred(model: UNet) -> UNet:
    """The weights that start at 0 made other, so that every part counts."""
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_conv_is_torchs_with_its_weight_laid_out_as_a_matrix(size, stride):
    ours, x = Conv(5, 7, size, stride).double(), random(2, 5, 6, 6)
    kernel = random(7, 5, size, size)
    ours.weight.data = kernel.permute(0, 2, 3, 1).flatten(1)
    want = F.conv2d(x, kernel, stride=stride, padding=size // 2)
    torch.testing.assert_close(ours(x), want)


def test_norm_relu_is_group_norm_with_one_group_and_a_shift():
    x, shift = random(2, 5, 4, 4), random(2, 5)
    want = F.relu(F.group_norm(x, 1) + shift[:, :, None, None])
    torch.testing.assert_close(norm_relu(x, shift), want)
    torch.testing.assert_close(norm_relu(x), F.relu(F.group_norm(x, 1)))


def test_norm_relu_leaves_its_input_and_the_gradient_alone():
    x = random(2, 5, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    shift = random(2, 5).requires_grad_()
    before = x.detach().clone()
    assert torch.autograd.gradcheck(norm_relu, (x, shift))
    torch.testing.assert_close(x.detach(), before, rtol=0, atol=0)


def test_attention_is_torchs():
    layer, x = Attention(6).double(), random(2, 6, 3, 4)
    layer.out.weight.data = random(6, 6)
    places = x.flatten(2).mT
    Q, K, V = layer.qkv(F.layer_norm(places, (6,))).chunk(3, dim=-1)
    want = places + layer.out(F.scaled_dot_product_attention(Q, K, V))
    torch.testing.assert_close(layer(x), want.mT.unflatten(2, (3, 4)))


def texts(B: int, T: int, D: int = 5, real: int | None = None, **own) -> Condition:
    """B texts of T tokens, of which the first `real` are no padding."""
    mask = (torch.arange(T) < (T if real is None else real)).expand(B, T)
    there = torch.ones(B, dtype=torch.bool)
    return Condition(**{"present": there, "tokens": random(B, T, D), "mask": mask, **own})


def test_cross_attention_is_torchs_over_the_null_token_and_the_text():
    layer, x, text = (
        stirred(CrossAttention(8, 5, heads=2)).double(),
        random(2, 8, 3, 4),
        texts(2, 6),
    )
    places = x.flatten(2).mT
    tokens = torch.cat([layer.null.expand(2, 1, -1), text.tokens], 1)
    Q = layer.query(F.layer_norm(places, (8,))).view(2, 12, 2, 4).transpose(1, 2)
    K, V = (y.view(2, 7, 2, 4).transpose(1, 2) for y in layer.key_value(tokens).chunk(2, dim=-1))
    read = F.scaled_dot_product_attention(Q, K, V).transpose(1, 2).flatten(2)
    want = places + layer.out(read)
    torch.testing.assert_close(layer(x, text), want.mT.unflatten(2, (3, 4)))


def test_padding_and_an_absent_text_are_not_read():
    layer, x = stirred(CrossAttention(8, 5)).double(), random(2, 8, 3, 4)
    padded = texts(2, 9, real=4)
    short = Condition(padded.present, tokens=padded.tokens[:, :4], mask=padded.mask[:, :4])
    torch.testing.assert_close(layer(x, padded), layer(x, short))
    none = layer(x, Condition.none(2))
    torch.testing.assert_close(layer(x, short.drop(torch.ones(2, dtype=torch.bool))), none)
    assert (layer(x, short) - none).abs().max() > 1e-3


def test_a_model_that_reads_tokens_refuses_a_condition_without_them():
    model, x, t = unet(token_dim=5), torch.randn(2, 1, 8, 8), torch.rand(2)
    with pytest.raises(T2IError, match="reads tokens"):
        model(x, t, Condition.of(torch.eye(3)[:2]))
    with pytest.raises(T2IError, match="tokens of size 5, not 4"):
        model(x, t, texts(2, 3, D=4, vector=torch.eye(3)[:2]))


def test_unpatch_is_pixel_shuffle_with_the_channels_in_another_order():
    x = random(2, 12, 3, 5)
    reordered = x.unflatten(1, (2, 2, 3)).movedim(3, 1).flatten(1, 3)
    torch.testing.assert_close(unpatch(x), F.pixel_shuffle(reordered, 2))


@pytest.mark.parametrize("own", [
    {}, {"image_shape": (3, 16, 8), "widths": (8, 8, 16), "blocks": 2}, {"widths": (8,)},
    {"patch": 1, "attention": False}, {"token_dim": 5},
])  # fmt: skip
def test_the_prediction_has_the_images_shape_and_starts_at_0(own):
    model = unet(**own)
    shape = own.get("image_shape", (1, 8, 8))
    x, t = torch.randn(4, *shape), torch.rand(4)
    condition = texts(4, 2, vector=torch.eye(4)[:, :3])
    assert model(x, t, condition).shape == x.shape
    assert not model(x, t, condition).any()
    out = stirred(model)(x, t, condition)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for n, p in model.named_parameters()
               if n != "embed.null")  # fmt: skip


def test_an_absent_condition_is_the_learned_null_whatever_its_vector_says():
    model, x, t = stirred(unet()), torch.randn(2, 1, 8, 8), torch.rand(2)
    absent = torch.zeros(2, dtype=torch.bool)
    one = model(x, t, Condition(absent, torch.eye(3)[:2]))
    torch.testing.assert_close(one, model(x, t, Condition(absent, torch.ones(2, 3))))
    torch.testing.assert_close(one, model(x, t, Condition.none(2)))
    assert (one - model(x, t, Condition.of(torch.eye(3)[:2]))).abs().max() > 1e-3


def test_a_condition_of_another_size_is_refused():
    with pytest.raises(T2IError, match=r"conditions of size 3; the vectors have size 10"):
        unet()(torch.randn(2, 1, 8, 8), torch.rand(2), Condition.of(torch.eye(10)[:2]))
