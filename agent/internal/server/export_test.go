package server

const QuiescePatience = quiescePatience
