package upstream

import "github.com/fairlead/fairlead/label"

type backupOptions struct{ On bool }

var _ = register(label.Kind{
	Name: "backup", Level: label.PerEndpoint,
	Doc: "A container that stands in for the others.",
}, nil, label.Def[backupOptions]{
	Value:   label.Bool(func(o *backupOptions) *bool { return &o.On }),
	Default: "false", Doc: "Takes requests only while no other container of the pool is ready, or all others have their `max-conns`.", Example: "true", Nginx: "server backup",
})

func isBackup(opts label.Options) bool { return option(opts, "backup", backupOptions{}).On }
