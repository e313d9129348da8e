"""The schema is the one that was documented to other teams, and the one that is printed."""

from __future__ import annotations

from pathlib import Path

from graphql import (
    GraphQLEnumType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_ast_schema,
    parse,
)

from subgraph.api.schema import build_schema

# The "GraphQL subgraph" of the Skill module's documentation and of the router's, without what is not built
# yet.
DOCUMENTED = """
type Skill {
  name: String!
  version: String
  description: String!
  license: String
  region: String
  allowedTools: [String!]!
  hasWasm: Boolean!
  installSource: InstallSource!
  contentHash: String!
  invocationsLast24h: Int!
}

type Invocation {
  invocationId: ID!
  skillName: String!
  actor: String!
  exitCode: Int!
  startedAt: DateTime!
  endedAt: DateTime!
  executor: Executor!
  capabilitiesGranted: [String!]!
}

type CapabilityGrant {
  skillName: String!
  capability: String!
  grantedBy: String!
  grantedAt: DateTime!
  contentHashAtGrant: String!
  stillValid: Boolean!
}

type RoutingDecision {
  requestId: ID!
  query: String!
  actor: String!
  skillName: String
  arguments: JSON
  confidence: Float!
  rationale: String!
  alternatives: [Candidate!]!
  routed: Boolean!
  routerPhase: RouterPhase!
  invokedAt: DateTime
  result: InvocationResult
}

type Candidate {
  skillName: String!
  score: Float!
  rank: Int!
}

type InvocationResult {
  exitCode: Int!
  stdout: String!
  stderr: String!
  startedAt: DateTime!
  endedAt: DateTime!
}

type RoutingPreview {
  decision: RoutingDecision!
  catalogFingerprint: String!
}

enum RouterPhase { phase1_rule  phase2_llm  phase3_chain  phase4_persona }
enum Persona { CEO COO CFO CMO CTO CHRO CSO CLO CDO CPO CAIO CXO CRO CSO_SUSTAINABILITY }

enum InstallSource { LOCAL OCI HTTPS BUILTIN }
enum Executor { WASM SCRIPT INLINE }

type Query {
  skill(name: String!): Skill
  skills(region: String, hasWasm: Boolean): [Skill!]!
  invocation(invocationId: ID!): Invocation
  capabilityGrants(skillName: String): [CapabilityGrant!]!
  route(query: String!, persona: Persona): RoutingPreview!
  decision(requestId: ID!): RoutingDecision
  decisions(actor: String, since: DateTime, limit: Int = 50): [RoutingDecision!]!
}

type Mutation {
  invokeSkill(name: String!, input: JSON!): Invocation!
  grantCapability(skillName: String!, capability: String!): CapabilityGrant!
  revokeSkill(name: String!, note: String): Skill!
  routeAndInvoke(query: String!, record: Boolean = true): RoutingDecision!
  dispatchSkill(skillName: String!, arguments: JSON!): InvocationResult!
}

scalar DateTime
scalar JSON
"""

KEYS = {
    'type Skill @key(fields: "name")',
    'type Invocation @key(fields: "invocationId")',
    'type CapabilityGrant @key(fields: "skillName")',
    'type RoutingDecision @key(fields: "requestId")',
}

# Additions to what is documented; whoever adds one decides so here.
ADDED = {
    "Skill": {
        "path",
        "revoked",
        "revokedNote",
        "executors",
        "trust",
        "capabilities",
        "capabilityChanges",
        "problems",
        "prompt",
    },
    "Invocation": {
        "contentHash",
        "elapsedUs",
        "error",
        "result",
        "stdout",
        "stderr",
        "hostCallCount",
        "hostCalls",
        "seq",
    },
    "CapabilityGrant": set(),
    "RoutingDecision": {
        "ambiguous",
        "breakdown",
        "catalogFingerprint",
        "chain",
        "deferral",
        "error",
        "input",
        "invocationId",
        "lifecycle",
        "missing",
        "model",
        "nudge",
        "persona",
        "question",
        "seq",
        "state",
        "tier",
    },
    "Candidate": {"breakdown"},
    "InvocationResult": {"error"},
    "RoutingPreview": set(),
    "Query": {
        "_entities",
        "_service",
        "auditCheckpoint",
        "auditDecisions",
        "auditEntry",
        "availableSkills",
        "capabilityRequests",
        "invocations",
        "keywordBank",
        "kpis",
        "personas",
        "skillProblems",
    },
    "Mutation": {
        "clearKeywordBank",
        "eraseSubject",
        "activateSkills",
        "answerCapabilityRequest",
        "grantAllCapabilities",
        "reinstateSkill",
        "replay",
        "revokeCapability",
        "setKeywordBank",
        "setSkillLimits",
        "setSkillTrust",
    },
}

SCHEMA = build_schema(introspection=True)
BUILT: GraphQLSchema = SCHEMA._schema
WANTED = build_ast_schema(parse(DOCUMENTED))


def documented_objects() -> list[tuple[GraphQLObjectType, GraphQLObjectType]]:
    pairs = []
    for name, wanted in WANTED.type_map.items():
        if isinstance(wanted, GraphQLObjectType) and not name.startswith("__"):
            built = BUILT.type_map[name]
            assert isinstance(built, GraphQLObjectType)
            pairs.append((wanted, built))
    return pairs


def test_every_documented_field_has_its_type_and_arguments() -> None:
    for wanted, built in documented_objects():
        for name, field in wanted.fields.items():
            where = f"{wanted.name}.{name}"
            assert str(built.fields[name].type) == str(field.type), where
            for argument, of in field.args.items():
                assert str(built.fields[name].args[argument].type) == str(of.type), f"{where}({argument})"
            for argument, of in built.fields[name].args.items():
                assert argument in field.args or not str(of.type).endswith("!"), f"{where}({argument})"


def test_enums_are_as_documented() -> None:
    for name in ("InstallSource", "Executor", "RouterPhase", "Persona"):
        wanted, built = WANTED.type_map[name], BUILT.type_map[name]
        assert isinstance(wanted, GraphQLEnumType)
        assert isinstance(built, GraphQLEnumType)
        assert list(built.values) == list(wanted.values)


def test_additions_are_deliberate() -> None:
    for wanted, built in documented_objects():
        assert set(built.fields) - set(wanted.fields) == ADDED[wanted.name]
    others = {
        name for name in set(BUILT.type_map) - set(WANTED.type_map) if "__" not in name and name[0] != "_"
    }
    assert others - {"Boolean", "String", "Int", "ID", "Float"} == {
        "AuditCheckpoint", "AuditEntry", "AuditProof", "AuditRecord", "BankedSkill", "BigInt",
        "CapabilityChanges", "CapabilityRequest", "CapabilityRequestState", "ChainStep", "ChainStepStatus",
        "DeclaredCapability", "Deferral", "DeferralCause", "HostCall", "InvocationError", "KeywordBank",
        "Kpi", "ModelConsultation", "ModelOutcome", "RoutingNudge",
        "RoutingMoment", "RoutingReplay", "RoutingState", "RoutingTier", "ScoreBreakdown", "Seat",
        "SkillLimits", "SkillLimitsInput", "SkillProblem", "SkillTrust", "TrustTier",
    }  # fmt: skip
    assert BUILT.subscription_type is None


def test_entities_have_the_documented_keys_and_federation_version() -> None:
    sdl = SCHEMA.as_str()
    for key in KEYS:
        assert key in sdl
    assert '@link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])' in sdl


def test_everything_is_described() -> None:
    for name, type_ in BUILT.type_map.items():
        if "__" in name or name.startswith("_"):
            continue  # federation's own
        assert type_.description, name
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            missing = [field for field, of in type_.fields.items() if not of.description]
            assert [field for field in missing if not field.startswith("_")] == [], name


def test_the_committed_schema_is_the_printed_one() -> None:
    committed = Path(__file__).parents[2] / "schema" / "schema.graphql"
    printed = SCHEMA.as_str() + "\n"
    assert committed.read_text(encoding="utf-8") == printed, "run `make schema` and commit the result"
