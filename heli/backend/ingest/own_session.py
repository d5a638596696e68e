"""Which session a call belongs to by its own words: the caller's headers first, then the agent's, then the
provider's conversation. What can only be told from other calls comes later, in `linking`."""

import msgspec

from heli.backend.ingest.attribution import Attribution
from heli.providers.agents import AgentMarks, segment
from heli.schema.property_names import AGENT_SESSION


class OwnSession(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As the columns of the log have it; empty where the call does not say."""

    id: str = ""
    name: str = ""
    path: str = ""
    source: str = ""
    properties: dict[str, str] = {}


def own_session(told: Attribution, marks: AgentMarks) -> OwnSession:
    """The path is the caller's, and below it the agents that lead to the one that calls."""
    if told.session_id:
        properties = told.properties
        if marks.session_id and marks.session_id != told.session_id:
            properties = {**properties, AGENT_SESSION: marks.session_id}
        return OwnSession(
            id=told.session_id,
            name=told.session_name,
            path=agent_path(told.session_path, marks),
            source="caller",
            properties=properties,
        )
    for id, source in ((marks.session_id, "agent"), (marks.conversation_id, "conversation")):
        if id:
            return OwnSession(id=id, path=agent_path("/", marks), source=source, properties=told.properties)
    return OwnSession(properties=told.properties)


def agent_path(base: str, marks: AgentMarks) -> str:
    """`/plan/7f3a/91c2`: the caller's own place, the agent's parent if it is known, the agent."""
    if not marks.agent_id:
        return base
    agents = [segment(id) for id in (marks.parent_agent_id, marks.agent_id) if id]
    return f"{base.rstrip('/')}/{'/'.join(agents)}"
