package check

import (
	"errors"

	"github.com/fairlead/fairlead/discovery/composefile"
	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// Refused turns why files could not be read into a finding, or returns nil if err
// is no fault of theirs.
func Refused(err error) *Finding {
	e, ok := errors.AsType[*composefile.Error](err)
	if !ok {
		return nil
	}
	return &Finding{At: e.At, Problem: spec.Problem{Code: e.Code, Message: e.Text, Fix: e.Fix, Effect: label.FileRefused}}
}

// SameProject is the hint that two files are one project to Compose.
func SameProject(p, other *composefile.Project) Finding {
	return Finding{At: composefile.Position{File: p.Files[0]}, Problem: spec.Problem{
		Code: "same-project", Container: p.Name, Effect: label.Hinted,
		Message: "is the name of the project of " + other.Files[0] + " too: docker compose takes the services of the one for leftovers of the other",
		Fix:     "give one of them a line  name: " + p.Name + "-2,  or check them as one project with -f",
	}}
}
