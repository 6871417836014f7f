{{/* The name of the chart, or what the user calls it. */}}
{{- define "loadline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of most objects: the release's, with the chart's where the release's does not say it. 52 characters leave room for suffixes. */}}
{{- define "loadline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "loadline.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a selector may select by; never changes in the life of a release. */}}
{{- define "loadline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "loadline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of every object. */}}
{{- define "loadline.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "loadline.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: loadline
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "loadline.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "loadline.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.create is false: set serviceAccount.name to the ServiceAccount that the operator runs as" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* There is no public image: a silent default would only give ImagePullBackOff. */}}
{{- define "loadline.image" -}}
{{- $repository := required "image.repository is empty: build the Dockerfile, push the image, and set image.repository to where it is" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Resources of scaleTargets by API group, as YAML: {apps: [deployments, statefulsets]}. */}}
{{- define "loadline.scaleResources" -}}
{{- $byGroup := dict -}}
{{- range .Values.scaleTargets -}}
{{- $parts := splitList "/" .apiVersion -}}
{{- $group := ternary (first $parts) "" (gt (len $parts) 1) -}}
{{- $_ := set $byGroup $group (append (default list (get $byGroup $group)) .resource | uniq | sortAlpha) -}}
{{- end -}}
{{- toYaml $byGroup -}}
{{- end -}}

{{/* The Lease by which one operator of several acts. */}}
{{- define "loadline.leaseName" -}}
{{- include "loadline.fullname" . -}}
{{- end -}}

{{/* The operator's configuration file. It finds the resource of a kind by discovery. What a schema cannot say is refused
here, and not only by the operator when it starts. */}}
{{- define "loadline.config" -}}
{{- $names := list -}}
{{- range .Values.config.sources -}}
{{- if has .name $names -}}
{{- fail (printf "config.sources: two are named %q; give each its own name" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- with (.Values.config.triggers | default dict).source -}}
{{- if not (has . $names) -}}
{{- fail (printf "config.triggers.source: there is no source %q; write the name of one of config.sources" .) -}}
{{- end -}}
{{- end -}}
{{- $kinds := list -}}
{{- range .Values.scaleTargets -}}
{{- $kinds = append $kinds (pick . "apiVersion" "kind") -}}
{{- end -}}
{{- toYaml (merge (dict "scaleTargets" $kinds) .Values.config) -}}
{{- end -}}

{{/* scaleTargets as a CEL map: {'apps/v1 Deployment': ['apps', 'deployments'], …}. The schema keeps quotes out. */}}
{{- define "loadline.scalableMap" -}}
{{- $entries := list -}}
{{- range .Values.scaleTargets -}}
{{- $parts := splitList "/" .apiVersion -}}
{{- $group := ternary (first $parts) "" (gt (len $parts) 1) -}}
{{- $entries = append $entries (printf "'%s %s': ['%s', '%s']" .apiVersion .kind $group .resource) -}}
{{- end -}}
{{- printf "{%s}" (join ", " $entries) -}}
{{- end -}}

{{/* scaleTargets for a person: Deployment (apps/v1), StatefulSet (apps/v1). */}}
{{- define "loadline.scalableText" -}}
{{- $entries := list -}}
{{- range .Values.scaleTargets -}}
{{- $entries = append $entries (printf "%s (%s)" .kind .apiVersion) -}}
{{- end -}}
{{- join ", " $entries -}}
{{- end -}}
