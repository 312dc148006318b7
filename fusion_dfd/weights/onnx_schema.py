"""The messages of an ``.onnx`` file, made with protobuf alone.

Field numbers are those of onnx/onnx.proto (ONNX 1.x, https://github.com/onnx/onnx); fields that are not named here are
skipped when a file is read, and absent when one is written.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_PACKAGE = "fusion_dfd.onnx"
_FIELDS = {
    "Model": {
        "ir_version": (1, "int"),
        "producer_name": (2, "text"),
        "producer_version": (3, "text"),
        "graph": (7, "Graph"),
        "opset_import": (8, "Opset*"),
        "metadata_props": (14, "Entry*"),
    },
    "Opset": {"domain": (1, "text"), "version": (2, "int")},
    "Entry": {"key": (1, "text"), "value": (2, "text")},
    "Graph": {
        "node": (1, "Node*"),
        "name": (2, "text"),
        "initializer": (5, "Tensor*"),
        "input": (11, "ValueInfo*"),
        "output": (12, "ValueInfo*"),
    },
    "Node": {
        "input": (1, "text*"),
        "output": (2, "text*"),
        "name": (3, "text"),
        "op_type": (4, "text"),
        "attribute": (5, "Attribute*"),
    },
    "Attribute": {
        "name": (1, "text"),
        "f": (2, "float"),
        "i": (3, "int"),
        "s": (4, "bytes"),
        "floats": (7, "float*"),
        "ints": (8, "int*"),
        "type": (20, "int"),
    },
    "Tensor": {
        "dims": (1, "int*"),
        "data_type": (2, "int"),
        "float_data": (4, "float*"),
        "name": (8, "text"),
        "raw_data": (9, "bytes"),
        "data_location": (14, "int"),
    },
    "ValueInfo": {"name": (1, "text"), "type": (2, "Type")},
    "Type": {"tensor_type": (1, "TensorType")},
    "TensorType": {"elem_type": (1, "int"), "shape": (2, "Shape")},
    "Shape": {"dim": (1, "Dim*")},
    "Dim": {"dim_value": (1, "int"), "dim_param": (2, "text")},
}
"""Message -> field -> (number, kind); ``*`` marks what repeats."""


def _model_class() -> type[message.Message]:
    Field = descriptor_pb2.FieldDescriptorProto
    kinds = {"text": Field.TYPE_STRING, "bytes": Field.TYPE_BYTES, "int": Field.TYPE_INT64, "float": Field.TYPE_FLOAT}
    file = descriptor_pb2.FileDescriptorProto(name="fusion_dfd/onnx.proto", package=_PACKAGE, syntax="proto3")
    for owner, fields in _FIELDS.items():
        entry = file.message_type.add(name=owner)
        for name, (number, kind) in fields.items():
            label = Field.LABEL_REPEATED if kind.endswith("*") else Field.LABEL_OPTIONAL
            field = entry.field.add(name=name, number=number, label=label)
            kind = kind.removesuffix("*")
            field.type = kinds.get(kind, Field.TYPE_MESSAGE)
            if kind not in kinds:
                field.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Model"))


Model = _model_class()
