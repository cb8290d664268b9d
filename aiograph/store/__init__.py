"""Long-term stores: `base` holds the contract, `memory` a store in this process."""
