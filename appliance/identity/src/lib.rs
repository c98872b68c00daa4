//! Users, sessions, API keys and access policy as pure logic.
