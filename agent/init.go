package main

func runInit() {}
