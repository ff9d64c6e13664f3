package label

import (
	"fmt"
	"io"
	"strings"
)

// WriteReference writes every label as Markdown, by section.
func (s *Schema) WriteReference(w io.Writer) error {
	var b strings.Builder
	for _, section := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n| label | value | default | meaning | nginx |\n|---|---|---|---|---|\n", section)
		for _, k := range s.Kinds {
			if k.Section != section {
				continue
			}
			for _, r := range k.Rows {
				b.WriteString(k.markdown(r))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (k Kind) markdown(r Row) string {
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	code := func(s string) string {
		if s == "" {
			return "–"
		}
		return "`" + cell(strings.ReplaceAll(s, "\n", ", ")) + "`"
	}
	doc := cell(r.Doc)
	if r.Later {
		return fmt.Sprintf("| `%s` | %s | – | *not yet:* %s | %s |\n", r.Path, cell(r.Type), doc, cell(r.Nginx))
	}
	path := strings.Replace(r.Path, "*", "NAME", 1)
	doc += " Example: " + code(strings.Replace(r.Path, "*", r.Key, 1)+"="+r.Example)
	if k.Level == PerEndpoint {
		doc += ". Each container of a service has its own"
	}
	if k.FailClosed {
		doc += ". **A mistake refuses the route.**"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", path, cell(r.Type), code(r.Default), doc, cell(r.Nginx))
}
