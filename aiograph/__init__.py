"""aiograph: an asyncio-native runtime for stateful graphs."""
