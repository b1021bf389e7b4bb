"""What can be done about an operator that is not read: for each its own way out."""

from collections.abc import Mapping
from types import MappingProxyType

from qdeploy.diagnostics import InputError
from qdeploy.importer.operation import Operation

_LIST = "docs/importing.md lists every operator that is read"

_OTHER_CURVE = (
    "train with an activation that is read: Relu, Clip, LeakyRelu, PRelu, Elu, HardSigmoid, "
    "Sigmoid, Tanh or Softsign"
)
_NO_QUANTISED = (
    "export the model before it was quantised, in float32; qdeploy chooses integers itself (--bits)"
)
_SPATIAL = (
    "only dense layers are deployed: train a network without it; over an input of fixed size "
    "a convolution or an average is also a MatMul"
)
_RECURRENT = "train a network without memory, which gets the values it needs as inputs"
_FOLD = (
    "fold it into the dense layer beside it before the export (torch: model.eval() and "
    "torch.nn.utils.fusion.fuse_linear_bn_eval), or write it as Mul and Add with constants"
)
_BY_DATA = (
    "its scale depends on the data, so it cannot be folded: train with batch normalisation, "
    "folded into the dense layer, or without"
)
_SELECTION = (
    "let the network read and return whole tensors; what is left out, repeated or reordered can "
    "be written as a MatMul with a matrix of zeros and ones"
)
_SUMMING = "write it as a MatMul with a matrix of ones, or of 1/n for a mean"
_DECIDING = (
    "what is computed must not depend on the data: end the network before it, or write it with "
    "Relu, Clip, Max or Min"
)
_RANKING = "end the network before it: what it ranks are the network's outputs"
_LINEAR_MODEL = (
    "convert it to plain matrices: skl2onnx.to_onnx(model, X, black_op={'LinearClassifier', "
    "'LinearRegressor'})"
)
_TREES = "only neural networks of dense layers are deployed"
_RANDOM = "a network has to compute the same every time: export it in inference mode"
_ATTENTION = "only dense layers are deployed: train a network without attention"
_CONTROL_FLOW = "export a network without control flow; what runs must not depend on the data"

_GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "Gelu Erf Mish Softplus HardSwish Swish ThresholdedRelu Exp Log Sqrt Pow Sin Cos Tan Sinh "
        "Cosh Asin Acos Atan Asinh Acosh Atanh Reciprocal Shrink Hardmax": _OTHER_CURVE,
        "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearMatMul QLinearConv "
        "MatMulInteger ConvInteger": _NO_QUANTISED,
        "Conv ConvTranspose MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool "
        "GlobalLpPool MaxUnpool DepthToSpace SpaceToDepth Resize Upsample DeformConv": _SPATIAL,
        "LSTM GRU RNN": _RECURRENT,
        "BatchNormalization": _FOLD,
        "LayerNormalization InstanceNormalization GroupNormalization RMSNormalization "
        "LpNormalization MeanVarianceNormalization LRN ai.onnx.ml::Normalizer": _BY_DATA,
        "Slice Split Pad Expand Tile GatherElements GatherND Compress ScatterND ScatterElements "
        "ReverseSequence SplitToSequence": _SELECTION,
        "ReduceSum ReduceMean CumSum": _SUMMING,
        "Where Equal Less Greater LessOrEqual GreaterOrEqual Not And Or Xor Sign Floor Ceil Round "
        "Mod ReduceMax ReduceMin ArgMin ai.onnx.ml::Binarizer": _DECIDING,
        "TopK NonMaxSuppression Unique": _RANKING,
        "ai.onnx.ml::LinearClassifier ai.onnx.ml::LinearRegressor": _LINEAR_MODEL,
        "ai.onnx.ml::TreeEnsemble ai.onnx.ml::TreeEnsembleClassifier "
        "ai.onnx.ml::TreeEnsembleRegressor ai.onnx.ml::SVMClassifier "
        "ai.onnx.ml::SVMRegressor": _TREES,
        "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli "
        "Multinomial": _RANDOM,
        "Attention": _ATTENTION,
        "If Loop Scan": _CONTROL_FLOW,
        "Neg": "write -x as a Mul by the constant -1",
        "Sum": "write it as an Add of a tensor and a constant; sums of two tensors that depend on "
        "the input are not read",
        "Mean": _SUMMING,
        "Einsum": "write it as a MatMul with a constant matrix",
        "Selu": "write it as Elu with alpha=1.6732632 and a Mul by 1.0507010",
        "Celu": "write it as a Mul by 1/alpha, Elu with alpha=1 and a Mul by alpha",
        "CastLike": "write it as a Cast to FLOAT, or leave it out",
        "ConstantOfShape Range EyeLike": "let the exporter fold constants, so that what it makes "
        "is stored as an initializer",
    }
)
_ADVICE: Mapping[str, str] = MappingProxyType(
    {name: advice for names, advice in _GROUPS.items() for name in names.split()}
)


def unsupported(op: Operation, operator: str) -> InputError:
    """Return the error for a node whose operator is not read."""
    return op.refusal(f"operator {operator!r} is not supported", f"{_way_out(operator)}; {_LIST}")


def _way_out(operator: str) -> str:
    if operator.startswith("function::"):
        return "inline the model's functions first (onnx.inliner.inline_local_functions)"
    if operator in _ADVICE:
        return _ADVICE[operator]
    if operator.startswith("com.microsoft"):
        return (
            "onnxruntime's optimiser writes such operators: use the model as it was before, or "
            "optimise with ORT_ENABLE_BASIC only"
        )
    if "::" in operator:
        return "export with the standard's operators, without custom ones"
    return "write it with operators that are read, or end the network before this node"
