//go:build !race

package alloctest

const dropped = 0
