package routing

import (
	"slices"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/routing/backend"
	"github.com/fairlead/fairlead/routing/middleware"
	"github.com/fairlead/fairlead/routing/upstream"
	"github.com/fairlead/fairlead/spec"
)

// Schema returns every label the program knows, under prefix.
func Schema(prefix string) *label.Schema {
	return label.NewSchema(prefix, slices.Concat(spec.Kinds(), upstream.Kinds(), backend.Kinds(), middleware.Kinds(), laterKinds())...)
}
