import pytest
import torch
from torch import Tensor

from pipeline.geometry import Box, Size
from pipeline.optimiser.hessian import MultiscaleHessian


def random_image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def dot(left: Tensor, right: Tensor) -> float:
    return (left * right).sum().item()


def by_autograd(image: Tensor, scales: int) -> Tensor:
    """M image by torch's own interpolation and its backward pass."""
    result = image.clone()
    for cell in (2**k for k in range(1, scales + 1)):
        channels, height, width = image.shape
        coarse = torch.zeros(1, channels, height // cell, width // cell, dtype=image.dtype)

        def upsample(cells: Tensor, cell: int = cell) -> Tensor:
            return torch.nn.functional.interpolate(
                cells, scale_factor=cell, mode="bilinear", align_corners=False
            )

        coarse.requires_grad_()
        (cells,) = torch.autograd.grad(upsample(coarse), coarse, image[None])
        result += upsample(cells)[0] / cell**2
    return result


def matrix(hessian: MultiscaleHessian, height: int, width: int) -> Tensor:
    units = torch.eye(height * width, dtype=torch.float64).view(-1, height, width)
    return hessian.apply_(units).view(height * width, height * width)


def test_one_cell_adds_the_mean_to_every_pixel() -> None:
    image = torch.tensor([[[1.0, 0.0], [0.0, 3.0]]])
    assert MultiscaleHessian(1).apply_(image).tolist() == [[[2.0, 1.0], [1.0, 4.0]]]


def test_two_cells_by_hand() -> None:
    # U = [[1, 0], [3/4, 1/4], [1/4, 3/4], [0, 1]] along the row; both rows see one cell, weight 1 each.
    image = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]], dtype=torch.float64)
    added = [0.25, 0.1875, 0.0625, 0.0]
    result = MultiscaleHessian(1).apply_(image)
    assert result.tolist() == [[[1.25, *added[1:]], added]]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 32), (128, 16), (272, 64)], ids=str)
@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_equals_torch_interpolation_and_its_adjoint(height: int, width: int, scales: int) -> None:
    image = random_image(3, height, width)
    expected = by_autograd(image, scales)
    assert torch.allclose(MultiscaleHessian(scales).apply_(image), expected, rtol=0, atol=1e-12)


def test_works_in_place() -> None:
    image = random_image(3, 32, 32)
    assert MultiscaleHessian(3).apply_(image) is image


def test_no_scales_is_the_identity() -> None:
    image = random_image(3, 32, 32)
    assert MultiscaleHessian(0).apply_(image.clone()).equal(image)


def test_symmetric() -> None:
    left, right = random_image(3, 176, 48, seed=1), random_image(3, 176, 48, seed=2)
    hessian = MultiscaleHessian(3)
    one, other = dot(left, hessian.apply_(right.clone())), dot(hessian.apply_(left.clone()), right)
    assert one == pytest.approx(other, rel=1e-12)


def test_eigenvalues_lie_between_one_and_one_more_than_the_scales() -> None:
    dense = matrix(MultiscaleHessian(3), 16, 16)
    assert torch.allclose(dense, dense.T, rtol=0, atol=1e-14)
    values = torch.linalg.eigvalsh(dense)
    assert values.min().item() >= 1.0 - 1e-12
    assert values.max().item() == pytest.approx(4.0, abs=1e-12)


def test_a_constant_is_multiplied_by_one_more_than_the_scales() -> None:
    image = torch.ones(3, 144, 32, dtype=torch.float64)
    assert torch.allclose(MultiscaleHessian(3).apply_(image), torch.full_like(image, 4.0), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(16, 32, 3), (8, 8, 3), (12, 20, 2), (16, 6, 1), (7, 16, 0)]
)
def test_scales_that_do_not_divide_the_sides_are_left_out(height: int, width: int, expected: int) -> None:
    assert MultiscaleHessian(3).fitting(Size(height, width)) == MultiscaleHessian(expected)


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_tiles_with_the_halo_equal_the_whole(scales: int) -> None:
    hessian, size = MultiscaleHessian(scales), Size(208, 160)
    image = random_image(3, size.height, size.width)
    whole = hessian.apply_(image.clone())
    error = dict.fromkeys((hessian.halo_px, hessian.halo_px - 2**scales), 0.0)
    for halo in error:
        for top in range(0, size.height, 48):
            for left in range(0, size.width, 64):
                core = Box(top, left, min(top + 48, size.height), min(left + 64, size.width))
                haloed = core.grown(halo, size)
                tile = hessian.apply_(image[(slice(None), *haloed.slices)].clone())
                inside = tile[(slice(None), *core.relative_to(haloed).slices)]
                worst = (inside - whole[(slice(None), *core.slices)]).abs().max().item()
                error[halo] = max(error[halo], worst)
    exact, short = error.values()
    assert exact < 1e-13
    assert short > 1e-3


def test_halo_and_stride() -> None:
    assert [MultiscaleHessian(scales).stride_px for scales in range(4)] == [1, 2, 4, 8]
    assert [MultiscaleHessian(scales).halo_px for scales in range(4)] == [0, 4, 8, 16]


@pytest.mark.parametrize("scales", [-1, 8])
def test_refuses_scales_out_of_range(scales: int) -> None:
    with pytest.raises(ValueError, match=r"scales lie in 0\.\.7"):
        MultiscaleHessian(scales)
