package discovery

import (
	"cmp"
	"path"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/fairlead/fairlead/spec"
)

// mounts returns what lies over directories of a container, by where.
func mounts(c container.InspectResponse) []spec.Mount {
	var out []spec.Mount
	subs := subpaths(c.HostConfig)
	for _, m := range c.Mounts {
		at := path.Clean("/" + m.Destination)
		to := spec.Mount{At: at, Kind: string(m.Type), Host: m.Source}
		if m.Type == mount.TypeVolume {
			to.Volume, to.Sub = m.Name, subs[at]
			if to.Host != "" {
				to.Host = path.Join(to.Host, to.Sub) // Source is the volume's, whatever part of it is mounted
			}
		}
		out = append(out, to)
	}
	if c.HostConfig != nil {
		for at := range c.HostConfig.Tmpfs { // of --tmpfs; those of --mount are among the others
			out = append(out, spec.Mount{At: path.Clean("/" + at), Kind: string(mount.TypeTmpfs)})
		}
	}
	slices.SortFunc(out, func(a, b spec.Mount) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Kind, b.Kind)) })
	return slices.CompactFunc(out, func(a, b spec.Mount) bool { return a.At == b.At })
}

// subpaths returns the parts of volumes that are mounted instead of all of one
// (volume-subpath, Docker 26 on), by where. They are in the request alone.
func subpaths(h *container.HostConfig) map[string]string {
	out := map[string]string{}
	if h == nil {
		return out
	}
	for _, m := range h.Mounts {
		if m.VolumeOptions != nil && m.VolumeOptions.Subpath != "" {
			out[path.Clean("/"+m.Target)] = path.Clean("/" + m.VolumeOptions.Subpath)[1:]
		}
	}
	return out
}
