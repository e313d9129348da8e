"""The bill of materials of a component: a CycloneDX document, the same bytes for the same component."""

from __future__ import annotations

from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from subgraph.authoring.steps import Compiled, Tool, sha256_of
from subgraph.catalog.manifest import SkillManifest


def bill_of_materials(skill: Path, manifest: SkillManifest, compiled: Compiled) -> str:
    """List what went into a component: its sources by digest, and the packages with code inside it.

    The tools that only worked on it are the document's tools.
    """
    digest = sha256_of(compiled.component)
    subject = Component(
        type=ComponentType.APPLICATION,
        name=skill.name,
        bom_ref=skill.name,
        version=manifest.metadata.get("version"),
        description=compiled.contract.reach,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        properties=[Property(name="cyberos:contract", value=sha256_of(compiled.contract.wit.encode()))],
    )
    packages = [_package(tool) for tool in compiled.tools if tool.inside]
    sources = [
        Component(
            type=ComponentType.FILE,
            name=source.name,
            bom_ref=f"file:{source.name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=source.sha256)],
        )
        for source in compiled.sources
    ]
    # A document has a number and a time of its own; what is made from the same has the same ones.
    metadata = BomMetaData(component=subject)
    metadata.timestamp = None  # type: ignore[assignment]
    metadata.tools.components.update(_package(tool) for tool in compiled.tools if not tool.inside)
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"urn:sha256:{digest}"),
        metadata=metadata,
        components=[*packages, *sources],
    )
    bom.register_dependency(subject, [*packages, *sources])
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n"


def _package(tool: Tool) -> Component:
    return Component(
        type=ComponentType.LIBRARY if tool.inside else ComponentType.APPLICATION,
        name=tool.name,
        bom_ref=tool.purl,
        version=tool.version,
        purl=PackageURL.from_string(tool.purl),
    )
