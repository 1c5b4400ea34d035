package server

const QuiesceTimeout = quiesceTimeout
