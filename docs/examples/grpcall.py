"""grpcurl in forty lines, for machines without it: calls a unary method by reflection.

    pip install grpcio grpcio-reflection protobuf
    python3 grpcall.py HOST:PORT CERTS PARTY TOKEN METHOD JSON [KEY]
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main(address, certs, party, token, method, document, key=None):
    credentials = grpc.ssl_channel_credentials(
        read(f"{certs}/ca.pem"), read(f"{certs}/{party}.key"), read(f"{certs}/{party}.pem")
    )
    channel = grpc.secure_channel(address, credentials)
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service, name = method.rsplit("/", 1)
    rpc = pool.FindServiceByName(service).FindMethodByName(name)
    request, answer = (message_factory.GetMessageClass(t) for t in (rpc.input_type, rpc.output_type))
    call = channel.unary_unary(
        f"/{service}/{name}", request.SerializeToString, answer.FromString
    )
    metadata = [("authorization", f"Bearer {token}")]
    if key:
        metadata.append(("idempotency-key", key))
    message = call(json_format.Parse(document, request()), metadata=metadata, timeout=10)
    print(json_format.MessageToJson(message, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
