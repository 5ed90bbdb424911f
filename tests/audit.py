#!/usr/bin/env python3
"""Dependency audit without the network: licences, doubles, banned crates, sources, deadlines.

Looks at what `cargo tree --locked` really builds (features resolved), not at everything that
Cargo.lock could name. Known vulnerabilities are another matter: they need the RustSec database
and so the network; `tests/run` runs `cargo deny check advisories` when it can and says so.
`deny.toml` states the same rules for cargo-deny.
"""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# SPDX ids that may be in the binary, and what each asks of us.
LICENCES = {
    "Apache-2.0": "our own; keep the notices",
    "Apache-2.0 WITH LLVM-exception": "Apache-2.0 with more freedom",
    "MIT": "keep the notice",
    "MIT-0": "nothing",
    "0BSD": "nothing",
    "BSD-2-Clause": "keep the notice",
    "BSD-3-Clause": "keep the notice, no endorsement",
    "BSL-1.0": "keep the notice in source",
    "CC0-1.0": "nothing",
    "ISC": "keep the notice",
    "Unicode-3.0": "keep the notice (Unicode tables)",
    "Unlicense": "nothing",
    "Zlib": "mark changed sources",
    "CDLA-Permissive-2.0": "data: root certificates",
}

# Crates that must not be built, and why.
BANNED = {
    "ring": "a second cryptographic library; aws-lc-rs does TLS, tokens and digests",
    "openssl": "a second TLS stack",
    "openssl-sys": "a second TLS stack",
    "native-tls": "a second TLS stack",
    "boring": "a second TLS stack",
    "s2n-tls": "a second TLS stack",
    "rsa": "RUSTSEC-2023-0071, no fix",
    "libsqlite3-sys@0.30": "a second SQLite",
    "serde_yaml": "unmaintained",
}

# Crates built in more than one version, and who keeps the old one; anything else is a fault.
DOUBLES = {
    "base64": "tonic, jsonwebtoken and prost-reflect have 0.22, reqwest 0.23",
    "fallible-iterator": "rusqlite has 0.3, postgres-protocol 0.2",
    "foldhash": "follows hashbrown",
    "getrandom": "opentelemetry_sdk's rand has the old one",
    "hashbrown": "petgraph (build only) and rusqlite's hashlink have older ones",
    "pem": "jsonwebtoken has 3, rcgen 4",
    "prettyplease": "follows syn, build only",
    "rand": "opentelemetry_sdk has 0.9, proptest 0.10; no keys are made with either",
    "rand_core": "follows rand",
    "syn": "macros move from 2 to 3 at their own pace, build only",
    "synstructure": "follows syn, build only",
    "unicode-width": "miette (build only) has the old one",
    "untrusted": "aws-lc-rs has 0.7, rustls-webpki 0.9",
}


def alternatives(expression):
    """An SPDX expression as a list of sets: any one set must be allowed whole."""
    tokens = re.findall(r"\(|\)|[^\s()/]+|/", expression.replace(" WITH ", "\0WITH\0"))
    tokens = [token.replace("\0", " ") for token in tokens]

    def either():
        found = both()
        while tokens and tokens[0] in ("OR", "/"):
            tokens.pop(0)
            found = found + both()
        return found

    def both():
        found = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            right = one()
            found = [a | b for a in found for b in right]
        return found

    def one():
        token = tokens.pop(0)
        if token == "(":
            found = either()
            tokens.pop(0)
            return found
        return [{token}]

    return either()


def tree(*arguments):
    command = ["cargo", "tree", "--locked", "--prefix", "none", "--no-dedupe"]
    command += ["--edges", "normal,build,dev", "--format", "{p}|{l}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"audit: {' '.join(command)} failed:\n{done.stderr}")
    crates = {}
    for line in filter(None, done.stdout.splitlines()):
        package, _, licence = line.partition("|")
        name, version = package.split()[:2]
        crates[name, version.lstrip("v")] = licence
    return crates


def main():
    faults = []
    own = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["name"]
    crates = {key: value for key, value in tree().items() if key[0] != own}
    everywhere = tree("--target", "all")

    for (name, version), licence in sorted(crates.items()):
        if not licence:
            faults.append(f"{name} {version}: states no licence")
        elif not any(choice <= set(LICENCES) for choice in alternatives(licence)):
            faults.append(f"{name} {version}: licence `{licence}` is not on the list")

    for name, version in sorted(everywhere):
        reason = BANNED.get(name) or BANNED.get(f"{name}@{'.'.join(version.split('.')[:2])}")
        if reason:
            faults.append(f"{name} {version}: banned: {reason}")

    versions = defaultdict(set)
    for name, version in crates:
        versions[name].add(version)
    doubles = {name: found for name, found in versions.items() if len(found) > 1}
    for name, found in sorted(doubles.items()):
        if name not in DOUBLES:
            faults.append(f"{name}: built in {len(found)} versions: {', '.join(sorted(found))}")

    # Everything comes from the registry, with a checksum.
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    for package in lock["package"]:
        if package["name"] == own:
            continue
        source = package.get("source", "a path")
        if source != "registry+https://github.com/rust-lang/crates.io-index":
            faults.append(f"{package['name']} {package['version']}: comes from {source}")
        elif "checksum" not in package:
            faults.append(f"{package['name']} {package['version']}: has no checksum")

    for fault in faults:
        print(fault)
    print(
        f"audit: {len(crates)} crates built; {len(LICENCES)} licences allowed, "
        f"{len(doubles)} crates in two versions, each with its reason; {len(faults)} faults"
    )
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
