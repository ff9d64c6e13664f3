package discovery

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/fairlead/fairlead/spec"
)

// mounts are those of an inspect, by where they are. What the engine always
// mounts itself (/etc/hosts, /proc, Swarm's secrets) is not among them.
func mounts(c container.InspectResponse) []spec.Mount {
	at := map[string]spec.Mount{}
	parts := subpaths(c.HostConfig)
	for _, p := range c.Mounts {
		m := spec.Mount{At: inContainer(p.Destination), Kind: string(p.Type)}
		if p.Type == mount.TypeVolume {
			m.Volume = p.Name
		}
		if m.Sub = parts[m.At]; p.Source != "" && p.Type != mount.TypeTmpfs {
			// Source is the whole volume or image, whatever part of it is mounted.
			m.Host = path.Join(p.Source, m.Sub)
		}
		at[m.At] = m
	}
	if c.HostConfig != nil {
		// Where `--tmpfs` lies on a volume of the image, the engine mounts the tmpfs
		// and still lists the volume.
		for p := range c.HostConfig.Tmpfs {
			p = inContainer(p)
			at[p] = spec.Mount{At: p, Kind: string(mount.TypeTmpfs)}
		}
	}
	return slices.SortedFunc(maps.Values(at), func(a, b spec.Mount) int { return strings.Compare(a.At, b.At) })
}

// subpaths are the parts of volumes and images that are mounted instead of the
// whole, by where they are (engine 26 on). Only what the container was created
// with tells.
func subpaths(c *container.HostConfig) map[string]string {
	if c == nil {
		return nil
	}
	out := map[string]string{}
	for _, m := range c.Mounts {
		sub := ""
		switch {
		case m.VolumeOptions != nil && m.VolumeOptions.Subpath != "":
			sub = m.VolumeOptions.Subpath
		case m.ImageOptions != nil && m.ImageOptions.Subpath != "":
			sub = m.ImageOptions.Subpath
		}
		// "./a/" is the directory a, "." is all of it.
		if sub = path.Join("/", sub)[1:]; sub != "" {
			out[inContainer(m.Target)] = sub
		}
	}
	return out
}

// inContainer is a path of the container, absolute and clean.
func inContainer(p string) string { return path.Join("/", p) }
