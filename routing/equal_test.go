package routing

import (
	"reflect"
	"testing"
	"time"

	"github.com/fairlead/fairlead/label"
	"github.com/fairlead/fairlead/spec"
)

// TestEqualRoutesSeesEachField: a field that it forgot would be served as it was
// before a change, for ever.
func TestEqualRoutesSeesEachField(t *testing.T) {
	filled := map[string]any{
		"Created": time.Unix(1, 0), "Matches": []spec.HostPath{{Path: spec.Root}}, "Fallback": []spec.HostPath{{Path: spec.Root}}, "Conditions": spec.Conditions{Methods: []string{"GET"}},
		"Listen": []string{"lan"}, "Share": []string{"any"}, "Files": &spec.Files{Dir: "/a"}, "Canary": spec.Canary{By: spec.ByLot}, "Options": label.Options{"log": 1},
		"TLS": spec.TLSPolicy{Mode: spec.TLSOff}, "Maintenance": spec.Order{Since: time.Unix(1, 0)}, "Refused": &spec.Problem{Code: "a"},
	}
	if !equalRoutes(&spec.Route{}, &spec.Route{}) {
		t.Error("a route differs from itself")
	}
	fields := reflect.TypeFor[spec.Route]()
	for i := range fields.NumField() {
		var r spec.Route
		name, field := fields.Field(i).Name, reflect.ValueOf(&r).Elem().Field(i)
		switch v := filled[name]; {
		case v != nil:
			field.Set(reflect.ValueOf(v))
		case field.Kind() == reflect.String:
			field.SetString("x")
		case field.Kind() == reflect.Bool:
			field.SetBool(true)
		case field.CanInt():
			field.SetInt(1)
		default:
			t.Fatalf("%s: the test needs a value for it", name)
		}
		if equalRoutes(&spec.Route{}, &r) || equalRoutes(&r, &spec.Route{}) {
			t.Errorf("%s: a route that has it equals one that has not", name)
		}
		if same := r; !equalRoutes(&r, &same) {
			t.Errorf("%s: a route that has it differs from itself", name)
		}
	}
}

func TestEqualRoutesComparesFiles(t *testing.T) {
	files := func(kind spec.AreaKind, ready bool) *spec.Files {
		return &spec.Files{Dir: "/a", Areas: []spec.Area{{Kind: kind}}, Runs: []spec.FilesRun{{ID: "1", StartedAt: time.Unix(1, 0), Ready: ready}}}
	}
	a := &spec.Route{Files: files(spec.Archived, true)}
	for _, tt := range []struct {
		files *spec.Files
		want  bool
	}{{files(spec.Archived, true), true}, {files(spec.Live, true), false}, {files(spec.Archived, false), false}, {nil, false}} {
		if got := equalRoutes(a, &spec.Route{Files: tt.files}); got != tt.want {
			t.Errorf("%+v: got %v, want %v", tt.files, got, tt.want)
		}
	}
}

// A deploy changes the runs alone: no request need be matched again for that.
func TestRunsAreNoLabels(t *testing.T) {
	a := &spec.Route{Files: &spec.Files{Dir: "/a", Runs: []spec.FilesRun{{ID: "1"}}}}
	b := &spec.Route{Files: &spec.Files{Dir: "/a", Runs: []spec.FilesRun{{ID: "2"}}}}
	other := &spec.Route{Files: &spec.Files{Dir: "/b", Runs: a.Files.Runs}}
	if !sameLabels(a, b) || sameLabels(a, other) || sameLabels(a, &spec.Route{}) {
		t.Error("want routes with other runs alone to have the same labels, those with another directory or none not")
	}
}
