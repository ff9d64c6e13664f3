package check

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/label"
)

// Formats are the forms in which a report can be written.
var Formats = []string{"text", "json", "github", "sarif"}

// Write writes r in one of Formats. version is the program's.
func (r *Report) Write(w io.Writer, format, version string) error {
	switch format {
	case "json":
		return writeJSON(w, r.data())
	case "github":
		return r.github(w)
	case "sarif":
		return writeJSON(w, r.sarif(version))
	}
	return r.text(w)
}

// text is for people.
func (r *Report) text(w io.Writer) error {
	var b strings.Builder
	for i := range r.Findings {
		f := &r.Findings[i]
		line := strings.TrimPrefix(f.Problem.String(), ": ")
		if at := f.At.String(); at != "" {
			line = at + ": " + line
		}
		b.WriteString(line + "\n")
	}
	if len(r.Findings) > 0 {
		b.WriteString("\n")
	}
	for _, route := range r.Routes {
		if route.State == "serves" {
			fmt.Fprintf(&b, "%s → %s\n", strings.Join(route.Matches, ", "), route.To)
		} else {
			fmt.Fprintf(&b, "%s → %s\n", strings.Join(route.Matches, ", "), route.State)
		}
	}
	b.WriteString(r.summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) summary() string {
	wrong, files := r.Wrong(), strings.Join(r.Files, ", ")
	if len(r.Files) > 4 {
		files = count(len(r.Files), "file")
	}
	out := fmt.Sprintf("%s: %s", files, count(wrong, "problem"))
	if hints := len(r.Findings) - wrong; hints > 0 {
		out += ", " + count(hints, "hint")
	}
	out += fmt.Sprintf("; %s of %s", count(len(r.Routes), "route"), count(r.Services, "service"))
	if len(r.Disabled) > 0 {
		out += fmt.Sprintf(" (not looked at: %s, whose profiles are not active)", strings.Join(r.Disabled, ", "))
	}
	return out
}

func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// findingData is a Finding as --format json has it.
type findingData struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`   // from 1
	Column  int    `json:"column,omitempty"` // from 1
	Service string `json:"service,omitempty"`
	Wrong   bool   `json:"wrong"` // more than a hint
	label.Problem
}

func (r *Report) data() any {
	out := struct {
		OK       bool          `json:"ok"`
		Files    []string      `json:"files"`
		Problems []findingData `json:"problems"`
		Routes   []Route       `json:"routes"`
		Disabled []string      `json:"disabled,omitempty"` // services of profiles that are not active
	}{r.Wrong() == 0, r.Files, []findingData{}, r.Routes, r.Disabled}
	if out.Routes == nil {
		out.Routes = []Route{}
	}
	for _, f := range r.Findings {
		out.Problems = append(out.Problems, findingData{f.At.File, f.At.Line, f.At.Column, f.Service, f.Wrong(), f.Problem})
	}
	return out
}

// github writes workflow commands, which GitHub shows at the lines of a change:
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
func (r *Report) github(w io.Writer) error {
	var b strings.Builder
	for i := range r.Findings {
		f := &r.Findings[i]
		level := "warning"
		if f.Wrong() {
			level = "error"
		}
		var at []string
		if f.At.File != "" {
			at = append(at, "file="+property(f.At.File))
		}
		if f.At.Line > 0 {
			at = append(at, fmt.Sprintf("line=%d", f.At.Line))
		}
		if f.At.Column > 0 {
			at = append(at, fmt.Sprintf("col=%d", f.At.Column))
		}
		at = append(at, "title="+property("fairlead "+f.Code))
		fmt.Fprintf(&b, "::%s %s::%s\n", level, strings.Join(at, ","), message(f.Problem.String()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// What a workflow command may not have as it is.
var (
	inMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	inProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func message(text string) string  { return inMessage.Replace(text) }
func property(text string) string { return inProperty.Replace(text) }

// sarif returns a log of the Static Analysis Results Interchange Format (OASIS
// SARIF 2.1.0), which code hosts and editors read.
func (r *Report) sarif(version string) any {
	type m = map[string]any
	var rules []m
	results := []m{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if !slices.ContainsFunc(rules, func(rule m) bool { return rule["id"] == f.Code }) {
			rules = append(rules, m{"id": f.Code, "shortDescription": m{"text": f.Code}})
		}
		result := m{"ruleId": f.Code, "level": "note", "message": m{"text": f.Problem.String()}}
		if f.Wrong() {
			result["level"] = "error"
		}
		if f.At.File != "" {
			place := m{"artifactLocation": m{"uri": filepath.ToSlash(f.At.File)}}
			if f.At.Line > 0 {
				region := m{"startLine": f.At.Line}
				if f.At.Column > 0 {
					region["startColumn"] = f.At.Column
				}
				place["region"] = region
			}
			result["locations"] = []m{{"physicalLocation": place}}
		}
		results = append(results, result)
	}
	return m{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []m{{
			"tool":    m{"driver": m{"name": "fairlead", "version": version, "rules": slices.Clip(append([]m{}, rules...))}},
			"results": results,
		}},
	}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
