"""The one table of cases: pooling layers of well-known networks, images, rasters and sound, as problem texts.

Shapes are those that the networks' papers and torchvision use, at a batch that fits in memory.
"""

from __future__ import annotations

from fastpool.bench import family
from fastpool.problem import Problem

CASES = {
    # the stem of ResNet, DenseNet and many others
    "resnet stem": "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, last": "max2d_fwd_f32_last_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, indices": "max2d_fwd+plane_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, taps": "max2d_fwd+tap_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, gradient": "max2d_bwd+tap_f32_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, gradient, last": "max2d_bwd+tap_f32_last_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, float16": "max2d_fwd_f16_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, bfloat16": "max2d_fwd_bf16_first_mb8ic64_ih112oh56kh3sh2ph1",
    "resnet stem, float64": "max2d_fwd_f64_first_mb8ic64_ih112oh56kh3sh2ph1",
    # AlexNet and ZFNet: windows that overlap
    "alexnet 1": "max2d_fwd_f32_first_mb8ic64_ih55oh27kh3sh2",
    "alexnet 2": "max2d_fwd_f32_first_mb8ic192_ih27oh13kh3sh2",
    "alexnet 3": "max2d_fwd_f32_first_mb8ic256_ih13oh6kh3sh2",
    "zfnet 1": "max2d_fwd_f32_first_mb8ic96_ih110oh55kh3sh2ph1",
    # VGG: windows side by side
    "vgg 1": "max2d_fwd_f32_first_mb8ic64_ih224oh112kh2sh2",
    "vgg 1, last": "max2d_fwd_f32_last_mb8ic64_ih224oh112kh2sh2",
    "vgg 1, gradient": "max2d_bwd+tap_f32_first_mb8ic64_ih224oh112kh2sh2",
    "vgg 2": "max2d_fwd_f32_first_mb8ic128_ih112oh56kh2sh2",
    "vgg 2, int8": "max2d_fwd_i8_first_mb8ic128_ih112oh56kh2sh2",
    "vgg 3": "max2d_fwd_f32_first_mb8ic256_ih56oh28kh2sh2",
    "vgg 4": "max2d_fwd_f32_first_mb8ic512_ih28oh14kh2sh2",
    "vgg 5": "max2d_fwd_f32_first_mb8ic512_ih14oh7kh2sh2",
    # GoogLeNet and SqueezeNet keep a last partial window
    "googlenet 1": "max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2_ceil",
    "googlenet 2": "max2d_fwd_f32_first_mb8ic192_ih56oh28kh3sh2_ceil",
    "googlenet 3": "max2d_fwd_f32_first_mb8ic480_ih28oh14kh3sh2_ceil",
    "googlenet 4": "max2d_fwd_f32_first_mb8ic832_ih14oh7kh2sh2_ceil",
    "squeezenet 1": "max2d_fwd_f32_first_mb8ic96_ih109oh54kh3sh2_ceil",
    # Inception: branches at stride 1, reductions at stride 2
    "inception max": "max2d_fwd_f32_first_mb8ic192_ih28oh28kh3sh1ph1",
    "inception mean": "mean2d_fwd_f32_first_mb8ic192_ih35oh35kh3sh1ph1",
    "inception mean, last": "mean2d_fwd_f32_last_mb8ic192_ih35oh35kh3sh1ph1",
    "inception mean, gradient": "mean2d_bwd_f32_first_mb8ic192_ih35oh35kh3sh1ph1",
    "inception mean, bfloat16": "mean2d_fwd_bf16_first_mb8ic192_ih35oh35kh3sh1ph1",
    "inception mean 17": "mean2d_fwd_f32_first_mb8ic768_ih17oh17kh3sh1ph1",
    "inception-v3 1": "max2d_fwd_f32_first_mb8ic64_ih147oh73kh3sh2",
    "inception-v3 2": "max2d_fwd_f32_first_mb8ic192_ih71oh35kh3sh2",
    "inception-v3 3": "max2d_fwd_f32_first_mb8ic288_ih35oh17kh3sh2",
    "inception-v3 4": "max2d_fwd_f32_first_mb8ic768_ih17oh8kh3sh2",
    "nasnet mean": "mean2d_fwd_f32_first_mb8ic192_ih35oh35kh3sh1ph1_xpad",
    # means between the blocks of DenseNet and in the shortcuts of ResNet-D
    "densenet 1": "mean2d_fwd_f32_first_mb8ic128_ih56oh28kh2sh2",
    "densenet transition": "mean2d_fwd_f32_first_mb8ic256_ih56oh28kh2sh2",
    "densenet transition, gradient": "mean2d_bwd_f32_first_mb8ic256_ih56oh28kh2sh2",
    "densenet transition, float16": "mean2d_fwd_f16_first_mb8ic256_ih56oh28kh2sh2",
    "densenet 3": "mean2d_fwd_f32_first_mb8ic512_ih14oh7kh2sh2",
    "resnet-d 1": "mean2d_fwd_f32_first_mb8ic256_ih56oh28kh2sh2_ceil_xpad",
    "resnet-d 2": "mean2d_fwd_f32_first_mb8ic512_ih28oh14kh2sh2_ceil_xpad",
    "resnet-d 3": "mean2d_fwd_f32_first_mb8ic1024_ih14oh7kh2sh2_ceil_xpad",
    "l2 pooling": "lp2d_fwd_f32_first_mb8ic256_ih56oh28kh2sh2_p2.0",
    # spatial pyramids of YOLO: large windows at stride 1
    "sppf": "max2d_fwd_f32_first_mb8ic256_ih20oh20kh5sh1ph2",
    "sppf, last": "max2d_fwd_f32_last_mb8ic256_ih20oh20kh5sh1ph2",
    "sppf 512": "max2d_fwd_f32_first_mb8ic512_ih20oh20kh5sh1ph2",
    "spp 9": "max2d_fwd_f32_first_mb8ic512_ih19oh19kh9sh1ph4",
    "spp 13": "max2d_fwd_f32_first_mb8ic512_ih13oh13kh13sh1ph6",
    "yolo tiny": "max2d_fwd_f32_first_mb8ic512_ih13oh13kh2sh1eh1",
    # global means: the end of a network, squeeze and excitation, the image level of DeepLab
    "global mean": "mean2d_fwd_f32_first_mb32ic2048_ih7oh1kh7sh7",
    "global mean, last": "mean2d_fwd_f32_last_mb32ic2048_ih7oh1kh7sh7",
    "global mean, gradient": "mean2d_bwd_f32_first_mb32ic2048_ih7oh1kh7sh7",
    "squeeze 112": "mean2d_fwd_f32_first_mb8ic32_ih112oh1kh112sh112",
    "squeeze 56": "mean2d_fwd_f32_first_mb8ic144_ih56oh1kh56sh56",
    "squeeze 56, last": "mean2d_fwd_f32_last_mb8ic144_ih56oh1kh56sh56",
    "squeeze 14": "mean2d_fwd_f32_first_mb8ic480_ih14oh1kh14sh14",
    "squeeze 7": "mean2d_fwd_f32_first_mb8ic1152_ih7oh1kh7sh7",
    "deeplab image level": "mean2d_fwd_f32_first_mb2ic2048_ih33oh1kh33sh33",
    # networks that segment
    "segnet 1, indices": "max2d_fwd+plane_f32_first_mb2ic64_ih360oh180kh2sh2_iw480ow240kw2sw2",
    "segnet 1, gradient": "max2d_bwd+plane_f32_first_mb2ic64_ih360oh180kh2sh2_iw480ow240kw2sw2",
    "unet 1": "max2d_fwd_f32_first_mb1ic64_ih568oh284kh2sh2",
    "unet 2": "max2d_fwd_f32_first_mb1ic128_ih280oh140kh2sh2",
    "unet 3": "max2d_fwd_f32_first_mb1ic256_ih136oh68kh2sh2",
    "unet 4": "max2d_fwd_f32_first_mb1ic512_ih64oh32kh2sh2",
    "unet 3d": "max3d_fwd_f32_first_mb2ic32_id64od32kd2sd2",
    "unet 3d, mean": "mean3d_fwd_f32_first_mb2ic32_id64od32kd2sd2",
    "unet 3d, gradient": "max3d_bwd+tap_f32_first_mb2ic32_id64od32kd2sd2",
    "unet 3d 2": "max3d_fwd_f32_first_mb2ic128_id28od14kd2sd2",
    # video
    "c3d 1": "max3d_fwd_f32_first_mb2ic64_id16od16kd1sd1_ih112oh56kh2sh2",
    "c3d 2": "max3d_fwd_f32_first_mb2ic128_id16od8kd2sd2_ih56oh28kh2sh2",
    "c3d 2, last": "max3d_fwd_f32_last_mb2ic128_id16od8kd2sd2_ih56oh28kh2sh2",
    "c3d 5": "max3d_fwd_f32_first_mb8ic512_id2od1kd2sd2_ih7oh4kh2sh2ph1",
    "i3d stem": "max3d_fwd_f32_first_mb2ic64_id16od8kd3sd2pd1_ih56oh28kh3sh2ph1",
    "i3d 2": "max3d_fwd_f32_first_mb2ic64_id32od32kd1sd1_ih112oh56kh3sh2ph1",
    "i3d mean": "mean3d_fwd_f32_first_mb2ic1024_id8od7kd2sd1_ih7oh1kh7sh1",
    "i3d over time": "max3d_fwd_f32_first_mb2ic256_id8od4kd2sd2_ih56oh56kh1sh1",
    # text and sound
    "crnn": "max2d_fwd_f32_first_mb16ic256_ih8oh4kh2sh2_iw25ow26kw2sw1pw1",
    "text-cnn": "max1d_fwd_f32_first_mb64ic100_iw398ow1kw398sw398",
    "audio": "max1d_fwd_f32_first_mb32ic64_iw65536ow32768kw2sw2",
    "audio, mean": "mean1d_fwd_f32_first_mb32ic64_iw65536ow16384kw4sw4",
    "audio m5": "max1d_fwd_f32_first_mb32ic128_iw4000ow1000kw4sw4",
    "audio panns": "mean2d_fwd_f32_first_mb8ic64_ih1000oh500kh2sh2_iw64ow32kw2sw2",
    "eegnet": "mean2d_fwd_f32_first_mb64ic16_ih1oh1kh1sh1_iw512ow128kw4sw4",
    # images: half size, dilation, blocks of a photograph, mips
    "image half": "max2d_fwd_f32_first_n4096x4096_ih4096oh2048kh2sh2",
    "image half, mean": "mean2d_fwd_f32_first_n4096x4096_ih4096oh2048kh2sh2",
    "image half, uint8": "max2d_fwd_u8_first_n4096x4096_ih4096oh2048kh2sh2",
    "image half, mean, uint8": "mean2d_fwd_u8_first_n4096x4096_ih4096oh2048kh2sh2",
    "image dilation": "max2d_fwd_f32_first_n2048x2048_ih2048oh2048kh31sh1ph15",
    "photograph": "max2d_fwd_u8_last_n1080x1920x3_ih1080oh135kh8sh8_iw1920ow240kw8sw8",
    "photograph mip": "mean2d_fwd_u8_last_n1080x1920x3_ih1080oh540kh2sh2_iw1920ow960kw2sw2",
    # rasters of ERA5, a quarter of a degree, and volumes of electron microscopy
    "raster with gaps": "mean2d_fwd_f32_first_n721x1440_ih721oh180kh4sh4_iw1440ow360kw4sw4_skipna",
    "raster day": "mean2d_fwd_f32_first_n24x721x1440_ih721oh180kh4sh4_iw1440ow360kw4sw4",
    "raster day 25": "mean2d_fwd_f32_first_n24x721x1440_ih721oh28kh25sh25_iw1440ow57kw25sw25",
    "connectomics 2x2x1": "mean2d_fwd_u8_last_n1024x1024x64_ih1024oh512kh2sh2",
    "connectomics 2x2x2": "mean3d_fwd_u8_first_n1024x1024x64_id1024od512kd2sd2_iw64ow32kw2sw2",
    # what a call costs where there is nothing to do
    "tiny": "max2d_fwd_f32_first_mb1ic1_ih8oh4kh2sh2",
}
"""Problem texts by name; ``last`` in a name stands for channels last."""

JUDGE = (
    "resnet stem",
    "resnet stem, last",
    "resnet stem, indices",
    "resnet stem, taps",
    "resnet stem, gradient",
    "resnet stem, gradient, last",
    "vgg 1",
    "vgg 1, last",
    "vgg 1, gradient",
    "sppf",
    "sppf, last",
    "spp 13",
    "inception max",
    "densenet transition",
    "densenet transition, gradient",
    "inception mean",
    "inception mean, last",
    "global mean",
    "global mean, last",
    "image half",
    "image half, mean",
    "image half, uint8",
    "image dilation",
    "resnet stem, float16",
    "resnet stem, float64",
    "unet 3d",
    "unet 3d, mean",
    "unet 3d, gradient",
    "i3d stem",
    "audio",
    "audio, mean",
    "tiny",
)

QUICK = (
    "resnet stem",
    "resnet stem, last",
    "resnet stem, gradient",
    "vgg 3",
    "sppf",
    "inception mean",
    "densenet transition",
    "global mean",
    "unet 3d 2",
    "audio m5",
    "image half, uint8",
    "photograph mip",
    "tiny",
)

SETS = {"quick": QUICK, "judge": JUDGE, "all": tuple(CASES), "family": tuple(family.TEXTS)}
"""Names of cases by the name of a set: half a minute, the cases that speed is judged by, every one of windows, and the
operations beyond windows of one size."""

WINDOWS = (3, 5, 9, 15, 31, 51, 101)
"""Window sizes of the sweep."""


def windows(dtype: str = "f32", size: int = 2048) -> dict[str, str]:
    """The sweep of window sizes: the dilation of one image, whose work should hardly grow with the window.

    Parameters
    ----------
    dtype : str
        A short name of an element type.
    size : int
        Height and width of the image.

    Returns
    -------
    dict
        Problem texts by name, such as ``"window 31"``.

    Examples
    --------
    >>> windows(size=64)["window 3"]
    'max2d_fwd_f32_first_n64x64_ih64oh64kh3sh1ph1'
    """
    return {
        f"window {k}": f"max2d_fwd_{dtype}_first_n{size}x{size}_ih{size}oh{size}kh{k}sh1ph{k // 2}" for k in WINDOWS
    }


def select(words: tuple[str, ...] = (), chosen: str = "quick") -> dict[str, str]:
    """Problem texts by name.

    Parameters
    ----------
    words : tuple of str
        Names of cases, parts of names, or problem texts; none of them for a whole set.
    chosen : str
        The set, a key of ``SETS``, when there are no words.

    Returns
    -------
    dict
        Problem texts by name, in the table's order; a problem text that is not in the table is its own name.

    Raises
    ------
    ValueError
        If a word is neither a part of a name nor a problem text, or the set is unknown.

    Examples
    --------
    >>> list(select(("unet 3d, ",)))
    ['unet 3d, mean', 'unet 3d, gradient']
    """
    if chosen not in SETS:
        raise ValueError(f"bench: set={chosen!r}: the set must be one of {', '.join(SETS)}")
    if not words:
        return dict(family.TEXTS) if chosen == "family" else {name: CASES[name] for name in SETS[chosen]}
    found: dict[str, str] = {}
    known = {**CASES, **family.TEXTS}
    for word in words:
        # a whole name means that case alone, though others begin like it
        names = [word] if word in known else [name for name in known if word in name]
        if names:
            found |= {name: known[name] for name in names}
            continue
        try:
            Problem.parse(word)
        except ValueError as error:
            raise ValueError(
                f"bench: {word!r}: it must be a part of a case's name or a problem's text; "
                f"the names are in fastpool.bench.networks, and {error}"
            ) from None
        found |= {name: text for name, text in CASES.items() if text == word} or {word: word}
    return found
