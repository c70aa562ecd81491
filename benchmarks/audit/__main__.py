"""What an audit costs, beside a forward of the model, and what it says of many networks of timm.

    python -m benchmarks.audit [--rounds 5] [--networks]

Times are those of the process, as medians of rounds in which the forward and the audit ran once each; one thread.
`--networks` audits the networks in NETWORKS, as they are built, in eval and in train mode: it needs timm.
"""

import argparse
import statistics
import time

import torch

import normviz as nv
from tests.inspect.architectures import SIZE, timm_network
from tests.inspect.audit_models import ConvNeXt, ResNet, ViT

NETWORKS = """
    convnext_atto vit_tiny_patch16_224 mobilevit_xxs mobilevitv2_050 mobileone_s0 hrnet_w18_small dla34 fastvit_t8
    efficientformer_l1 efficientformerv2_s0 poolformerv2_s12 gcvit_xxtiny coatnet_nano_rw_224 pit_ti_224 cait_xxs24_224
    eva02_tiny_patch14_224 repvit_m0_9 tiny_vit_5m_224 mnasnet_small selecsls42 skresnet18 resnest14d gernet_s
    resnetv2_50 resnetv2_50x1_bit seresnext26d_32x4d inception_next_atto tinynet_e hardcorenas_a fbnetc_100
    spnasnet_100 rexnet_100 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 efficientvit_b0 efficientvit_m0
    shvit_s1 starnet_s1 mobilenetv4_conv_small hiera_tiny_224 focalnet_tiny_srf coat_lite_tiny twins_svt_small
    visformer_tiny convmixer_768_32 xception41 gmlp_ti16_224 sequencer2d_s naflexvit_base_patch16_gap
    vit_pwee_patch16_reg1_gap_256 davit_tiny maxvit_rmlp_pico_rw_256 nest_tiny volo_d1_224 tresnet_m vovnet39a
    rdnet_tiny swiftformer_xs ghostnetv3_050 lambda_resnet26t halonet26t botnet26t_256 bat_resnext26ts convformer_s18
    caformer_s18 fasternet_t0
"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    models = {
        "ResNet-50": (ResNet(64, (3, 4, 6, 3), 1000), [(2, 3, 64, 64), (2, 3, 224, 224), (8, 3, 224, 224)]),
        "ConvNeXt": (ConvNeXt(64), [(8, 3, 224, 224)]),
        "ViT": (ViT(192, 12, 224, 16), [(8, 3, 224, 224)]),
    }
    print("model, input: a forward in ms, an audit in forwards: in eval, in train mode")
    for name, (model, shapes) in models.items():
        for shape in shapes:
            eval_, train = (times(model.train(mode), torch.randn(shape), options.rounds) for mode in (False, True))
            print(f"  {name:10} {shape!s:18} {1e3 * eval_[0]:8.1f} {eval_[1]:6.1f} {train[1]:6.1f}", flush=True)
    for name in NETWORKS.split() if options.networks else ():
        networks(name)


def times(model: torch.nn.Module, x: torch.Tensor, rounds: int) -> tuple[float, float]:
    """Return the seconds of a forward, and how many forwards an audit takes."""
    forward, ratio = [], []
    for _ in range(rounds):
        start = time.process_time()
        with torch.no_grad():
            model(x)
        between = time.process_time()
        nv.audit(model, x, training_batch=32)
        forward.append(between - start)
        ratio.append((time.process_time() - between) / forward[-1])
    return statistics.median(forward), statistics.median(ratio)


def networks(name: str) -> None:
    """Print what an audit finds in a network, or why there is none."""
    for size in (SIZE, 96, 224, 256):
        try:
            model = timm_network(name, size)
            with torch.no_grad():
                model.eval()(torch.randn(2, 3, size, size))
        except (RuntimeError, AssertionError, TypeError, ValueError) as error:
            why = error
            continue
        found = [nv.audit(model.train(m), torch.randn(2, 3, size, size), training_batch=32) for m in (False, True)]
        said = [str(w)[:200] for one in found for w in one.warnings] + [f"{n}: {r}" for n, r in found[0].unseen.items()]
        print(f"  {name} at {size}: {len(found[0].layers)} layers, {len(said)} warnings", *said[:3], sep="\n    ")
        return
    print(f"  {name}: {str(why)[:200]}")


if __name__ == "__main__":
    main()
