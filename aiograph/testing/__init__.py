"""What helps to test graphs, savers and stores: real servers, contracts, a clock that can be held still."""
