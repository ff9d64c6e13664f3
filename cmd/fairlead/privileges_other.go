//go:build !linux

package main

import "github.com/rs/zerolog"

// dropPrivileges does nothing: the image is a Linux one, and elsewhere nobody
// starts the proxy as root.
func dropPrivileges(bool, string, string, zerolog.Logger) error { return nil }
