"""Write the sample activations and photographs anew: `make samples`.

The layer is a convolution with fixed weights like those that first layers often learn: 16 oriented filters, stride 4,
ReLU. It runs over crops of free photographs in scikit-image; README.md beside this file lists their sources and
licences. Only this script needs scikit-image; the package reads the two .npz files.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from normviz.atomic_write import write
from normviz.samples import PHOTOGRAPHS

HERE = Path(__file__).parent

WAVELENGTHS = (4.0, 6.0, 9.0, 13.5)
"""Pixels; half an octave apart, so that neighbouring scales respond to the same edges."""
ORIENTATIONS = 4
BANDWIDTH = 1.6
"""Standard deviation of the filters along log frequency, as a factor."""
SPREAD = 0.45
"""Standard deviation of the filters around their orientation, in radians."""
STRIDE = 4
SIDE = 12
"""Cells along H and W of one sample."""
WINDOW = STRIDE * SIDE
GAIN = 45.0
"""Scales the standard deviation of all activations to about 1, for photographs with values from 0 to 1."""
STEP = 1 / 128
"""Activations are multiples of this, so float16 holds them exactly, and they compress well."""
MIN_CONTRAST = 0.02
"""Crops whose grey values have a smaller standard deviation are left out as noise."""
PER_PHOTOGRAPH = 32
THUMBNAIL = 64

# The first samples, chosen by eye: the factor by which the photograph is shrunk, and the top left of the thumbnail.
FIRST = {
    "chelsea": (4, 8, 24),
    "coffee": (5, 4, 26),
    "brick": (4, 24, 40),
    "rocket": (5, 21, 31),
    "astronaut": (4, 6, 30),
    "camera": (4, 6, 34),
    "grass": (3, 50, 50),
    "gravel": (3, 50, 50),
}


def main() -> None:
    """Write activations.npz and photographs.npz beside this file."""
    activations, photographs, photograph_of = make()
    print("PHOTOGRAPH_OF is", "".join(map(str, photograph_of)))
    low, high = encode(activations)
    save("activations.npz", low=low, high=high, step=np.float32(STEP))
    save("photographs.npz", photographs=photographs)


def save(name: str, **arrays: Any) -> None:
    """Write a compressed .npz file beside this file, and print its size."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write(HERE / name, file.getvalue())
    print(f"{name}: {len(file.getvalue()) / 1000:.0f} kB")


def make() -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return the activations, the photographs, and the number of the photograph that each sample shows a crop of.

    The activations are int16 (N, 16, 12, 12) in units of STEP, and the photographs uint8 (8, 3, 64, 64).
    """
    random = np.random.default_rng(20180322)
    first, rest, photographs, photograph_of = [], [], [], []
    for number, name in enumerate(PHOTOGRAPHS):
        colour = load(name)
        factor, y, x = FIRST[name]
        small = shrink(colour, factor)
        photographs.append(small[y : y + THUMBNAIL, x : x + THUMBNAIL])
        margin = (THUMBNAIL - WINDOW) // 2
        first.append(layer(grey(small), y + margin, x + margin))
        crops = others(grey(colour), random)
        rest += crops
        photograph_of += [number] * len(crops)
    order = random.permutation(len(rest))
    activations = np.stack([*first, *(rest[i] for i in order)])
    return (
        np.round(activations * GAIN / STEP).astype(np.int16),
        np.round(np.stack(photographs) * 255).astype(np.uint8).transpose(0, 3, 1, 2),
        (*range(len(first)), *(photograph_of[i] for i in order)),
    )


def load(name: str) -> np.ndarray:
    """Return a photograph of scikit-image, (height, width, 3), with values from 0 to 1."""
    import skimage.data

    pixels = getattr(skimage.data, name)() / 255
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def grey(colour: np.ndarray) -> np.ndarray:
    """Return the luminance (Rec. 709) of a photograph."""
    return colour @ np.array([0.2126, 0.7152, 0.0722])


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Return means of `factor` x `factor` pixels; incomplete squares at the edges are cut off."""
    height, width = (n // factor for n in image.shape[:2])
    cut = image[: height * factor, : width * factor]
    return cut.reshape(height, factor, width, factor, *image.shape[2:]).mean(axis=(1, 3))


def others(photograph: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """Return samples from crops of one photograph at three sizes; crops of one size do not overlap."""
    crops = []
    for factor in (1, 2, 3):
        image = shrink(photograph, factor)
        maps = respond(image)
        for y in range(0, image.shape[0] - WINDOW + 1, WINDOW):
            for x in range(0, image.shape[1] - WINDOW + 1, WINDOW):
                if image[y : y + WINDOW, x : x + WINDOW].std() >= MIN_CONTRAST:
                    crops.append(sample(maps, y, x))
    return [crops[i] for i in random.permutation(len(crops))[: PER_PHOTOGRAPH - 1]]


def layer(image: np.ndarray, y: int, x: int) -> np.ndarray:
    """Return the (16, 12, 12) activations of the window of `image` with that top left."""
    return sample(respond(image), y, x)


def sample(maps: np.ndarray, y: int, x: int) -> np.ndarray:
    """Return every STRIDE-th response within a window."""
    middle = STRIDE // 2
    return maps[:, y + middle : y + WINDOW : STRIDE, x + middle : x + WINDOW : STRIDE]


def respond(image: np.ndarray) -> np.ndarray:
    """Return ReLU(filter * image), shape (16, height, width): the four scales of one orientation, then the next.

    In this order the channels of one group of four respond to the same edges: over all samples, their correlation is
    higher than that of the four orientations of one scale (see README.md).
    """
    pad = 32
    padded = np.pad(image, pad, mode="reflect")
    spectrum = np.fft.fft2(padded)
    fy, fx = np.fft.fftfreq(padded.shape[0])[:, None], np.fft.fftfreq(padded.shape[1])
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    radius[0, 0] = np.inf  # A filter does not respond to uniform brightness.
    maps = []
    for orientation in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS:
        away = np.angle(np.exp(1j * (angle - orientation)))
        for wavelength in WAVELENGTHS:
            # A log-Gabor filter; minus the imaginary part is the response of an odd filter: edges, dark to bright.
            along = np.exp(-((np.log(np.maximum(radius, 1e-12) * wavelength) / np.log(BANDWIDTH)) ** 2) / 2)
            response = np.fft.ifft2(spectrum * along * np.exp(-((away / SPREAD) ** 2) / 2))
            maps.append(np.maximum(-2 * response.imag, 0)[pad:-pad, pad:-pad])
    return np.stack(maps)


def encode(activations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the low and the high bytes; stored separately, they make the file a sixth smaller."""
    unsigned = activations.astype(np.uint16)
    return (unsigned & 255).astype(np.uint8), (unsigned >> 8).astype(np.uint8)


if __name__ == "__main__":
    main()
