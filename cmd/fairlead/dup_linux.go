package main

import "golang.org/x/sys/unix"

// dup makes the file to another name of from.
func dup(from, to int) error { return unix.Dup3(from, to, 0) }
