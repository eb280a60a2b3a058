#!/bin/sh
# nvidia-smi of a simulated machine. It starts no other program where it can do without:
# it must be quick.
set -f
here=${0%/*}
. "$here/../gpu"

# How busy the GPUs are: a number of percent that anybody may write into this file.
load=0
if [ -r "$here/../root/gpu_util" ]; then read -r load <"$here/../root/gpu_util"; fi
load=${load%%.*}
case $load in '' | *[!0-9]* | ????*) load=0 ;; esac
[ "$load" -le 100 ] || load=100

reserved=$((mib / 128))
used=1
[ "$load" -eq 0 ] || used=$((mib / 2))
idle=$((watts / 10))
draw=$((idle + (watts - idle) * load / 100))
temp=$((31 + load * 35 / 100))
if [ "$load" -eq 0 ] && [ -z "$is_datacenter" ]; then pstate=P8; else pstate=P0; fi

fail() {
	printf '%s\n' "$1"
	exit "${2:-2}"
}

# Sets `uuid` and `bus` of the GPU number `i`.
at() {
	set -- $uuids
	shift "$i"
	uuid=$1
	set -- $buses
	shift "$i"
	bus=$1
}

# Sets the header, the value and the unit of a field of a GPU; fails where there is none.
gpu_field() {
	head=$1 unit=
	case $1 in
	timestamp) value=$(date '+%Y/%m/%d %H:%M:%S.%3N') ;;
	driver_version | kmd_version) value=$driver ;;
	count | index) [ "$1" = count ] && value=$count || value=$i ;;
	name | gpu_name) head=name value=$name ;;
	uuid | gpu_uuid) head=uuid value=$uuid ;;
	serial | gpu_serial) head=serial value='[N/A]' ;;
	pci.bus_id | gpu_bus_id) head=pci.bus_id value=$bus ;;
	vbios_version) value=95.02.3C.00.02 ;;
	persistence_mode) value=Enabled ;;
	display_active | display_attached | display_mode) value=Disabled ;;
	pstate) value=$pstate ;;
	compute_mode) value=Default ;;
	compute_cap) value=$cap ;;
	memory.total) value=$mib unit=MiB ;;
	memory.reserved) value=$reserved unit=MiB ;;
	memory.used) value=$used unit=MiB ;;
	memory.free) value=$((mib - reserved - used)) unit=MiB ;;
	utilization.gpu) value=$load unit=% ;;
	utilization.memory) value=$((load / 2)) unit=% ;;
	utilization.encoder | utilization.decoder | utilization.jpeg | utilization.ofa) value=0 unit=% ;;
	temperature.gpu) value=$temp ;;
	temperature.memory) value=N/A ;;
	fan.speed) value='[N/A]' unit=% && [ -n "$is_datacenter" ] || value=$((load / 2)) ;;
	power.draw | power.draw.average | power.draw.instant) value=$draw.00 unit=W ;;
	power.limit | enforced.power.limit | power.default_limit | power.max_limit)
		value=$watts.00 unit=W
		;;
	power.min_limit) value=$((watts / 3)).00 unit=W ;;
	clocks.gr | clocks.current.graphics) head=clocks.current.graphics value=$clock unit=MHz ;;
	clocks.sm | clocks.current.sm) head=clocks.current.sm value=$clock unit=MHz ;;
	clocks.mem | clocks.current.memory) head=clocks.current.memory value=$clock unit=MHz ;;
	clocks.max.graphics | clocks.max.sm | clocks.max.memory) value=2520 unit=MHz ;;
	pcie.link.gen.current | pcie.link.gen.max) value=4 ;;
	pcie.link.width.current | pcie.link.width.max) value=16 ;;
	ecc.mode.current | ecc.mode.pending) [ -n "$is_datacenter" ] && value=Enabled || value='[N/A]' ;;
	mig.mode.current | mig.mode.pending) value='[N/A]' ;;
	accounting.mode) value=Disabled ;;
	*) return 1 ;;
	esac
}

# The same for a process that computes.
app_field() {
	head=$1 unit=
	case $1 in
	timestamp) value=$(date '+%Y/%m/%d %H:%M:%S.%3N') ;;
	gpu_name) value=$name ;;
	gpu_uuid) value=$uuid ;;
	gpu_serial) value='[N/A]' ;;
	gpu_bus_id) value=$bus ;;
	pid) value=4242 ;;
	process_name | name) head=process_name value=python3 ;;
	used_gpu_memory | used_memory) head=used_gpu_memory value=$((used - 1)) unit=MiB ;;
	*) return 1 ;;
	esac
}

# One line of values, or of headers, of the fields in $fields.
row() {
	line=
	for field in $fields; do
		"$1" "$field"
		case $2$units$value in
		header*) [ -z "$unit" ] && cell=$head || cell="$head [$unit]" ;;
		valueyes[0-9]*) cell="$value${unit:+ $unit}" ;;
		*) cell=$value ;;
		esac
		line="$line${line:+, }$cell"
	done
	printf '%s\n' "$line"
}

selective() {
	[ -n "$format" ] || fail "\"--format=\" switch is missing. Please run 'nvidia-smi -h' for help."
	case ,$format, in *,csv,*) ;; *) fail 'The format must contain "csv".' ;; esac
	case ,$format, in *,nounits,*) units=no ;; *) units=yes ;; esac
	i=0
	at
	IFS=", "
	set -- "$1" $fields
	unset IFS
	kind=$1
	shift
	fields=$*
	for field; do
		"$kind" "$field" || fail "Field \"$field\" is not a valid field to query.
"
	done
	case ,$format, in *,noheader,*) ;; *) row "$kind" header ;; esac
	[ "$kind" = gpu_field ] || [ "$load" -gt 0 ] || return 0
	for i in $chosen; do
		at
		row "$kind" value
	done
}

list() {
	for i in $chosen; do
		at
		printf 'GPU %s: %s (UUID: %s)\n' "$i" "$name" "$uuid"
	done
}

table() {
	line=-----------------------------------------
	half=------------------------
	end=----------------------
	wide=$line$half$end--
	space='                                         '
	fan=N/A ecc=0 mig=N/A
	[ -n "$is_datacenter" ] || fan=$((load / 2))% ecc=Off
	date '+%a %b %e %H:%M:%S %Y       '
	printf '+%s+\n' "$wide"
	printf '| NVIDIA-SMI %-23sDriver Version: %-15sCUDA Version: %-9s|\n' "$driver" "$driver" "$cuda"
	printf '|%s+%s+%s+\n' "$line" "$half" "$end"
	printf '| GPU  Name                 Persistence-M | Bus-Id          Disp.A '
	printf '| Volatile Uncorr. ECC |\n'
	printf '| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage '
	printf '| GPU-Util  Compute M. |\n'
	printf '|%s|%s|               MIG M. |\n' "$space" '                        '
	printf '|=========================================+========================'
	printf '+======================|\n'
	for i in $chosen; do
		at
		printf '|%4s  %-31s%-4s|   %s Off |%21s |\n' "$i" "$short_name" On "$bus" "$ecc"
		printf '|%4s%5sC%6s%15sW /%5sW ' "$fan" "$temp" "$pstate" "$draw" "$watts"
		printf '|%8sMiB / %6sMiB |%7s%%%13s |\n' "$used" "$mib" "$load" Default
		printf '|%s|%s|%21s |\n' "$space" '                        ' "$mig"
		printf '+%s+%s+%s+\n' "$line" "$half" "$end"
	done
	processes
}

processes() {
	printf '\n+%s+\n' "$wide"
	printf '| Processes:%s%s|\n' "$space" '                                     '
	printf '|  GPU   GI   CI              PID   Type   Process name  '
	printf '                      GPU Memory |\n'
	printf '|        ID   ID                                         '
	printf '                      Usage      |\n'
	printf '|========================================================'
	printf '=================================|\n'
	[ "$load" -gt 0 ] || printf '|  No running processes found%s                    |\n' "$space"
	for i in $chosen; do
		[ "$load" -eq 0 ] || printf '|%5s   N/A  N/A %15s      C   %-36s%7sMiB |\n' \
			"$i" 4242 python3 "$((used - 1))"
	done
	printf '+%s+\n' "$wide"
}

entry() {
	printf '%*s%-*s: %s\n' "$1" '' "$((55 - $1))" "$2" "$3"
}

full() {
	printf '\n==============NVSMI LOG==============\n\n'
	entry 0 Timestamp "$(date '+%a %b %e %H:%M:%S %Y')"
	entry 0 'Driver Version' "$driver"
	entry 0 'CUDA Version' "$cuda"
	printf '\n'
	entry 0 'Attached GPUs' "$count"
	for i in $chosen; do
		at
		full_gpu
	done
}

full_gpu() {
	printf 'GPU %s\n' "$bus"
	entry 4 'Product Name' "$name"
	entry 4 'Persistence Mode' Enabled
	entry 4 'GPU UUID' "$uuid"
	entry 4 'Minor Number' "$i"
	entry 4 'Performance State' "$pstate"
	printf '    FB Memory Usage\n'
	entry 8 Total "$mib MiB"
	entry 8 Reserved "$reserved MiB"
	entry 8 Used "$used MiB"
	entry 8 Free "$((mib - reserved - used)) MiB"
	entry 4 'Compute Mode' Default
	printf '    Utilization\n'
	entry 8 GPU "$load %"
	entry 8 Memory "$((load / 2)) %"
	printf '    Temperature\n'
	entry 8 'GPU Current Temp' "$temp C"
	printf '    GPU Power Readings\n'
	entry 8 'Average Power Draw' "$draw.00 W"
	entry 8 'Current Power Limit' "$watts.00 W"
	if [ "$load" -eq 0 ]; then
		entry 4 Processes None
	else
		printf '    Processes\n'
		entry 8 'Process ID' 4242
		entry 12 Type C
		entry 12 Name python3
		entry 12 'Used GPU Memory' "$((used - 1)) MiB"
	fi
	printf '\n'
}

version() {
	printf 'NVIDIA-SMI version  : %s\nNVML version        : %s\n' "$driver" "$driver"
	printf 'DRIVER version      : %s\nCUDA Version        : %s\n' "$driver" "$cuda"
}

show=table format= fields= loop= chosen=
clock=210
[ "$load" -eq 0 ] || clock=2520
while [ $# -gt 0 ]; do
	option=${1%%=*}
	case $1 in
	*=*) value=${1#*=} ;;
	--query-gpu | --query-compute-apps | --format | -i | --id | -l | --loop)
		[ $# -gt 1 ] || fail "ERROR: Option $1 is missing its value. Please run 'nvidia-smi -h' for help."
		value=$2
		shift
		;;
	esac
	shift
	case $option in
	--query-gpu) show='selective gpu_field' fields=$value ;;
	--query-compute-apps) show='selective app_field' fields=$value ;;
	--format) format=$value ;;
	-i | --id) chosen=$value ;;
	-l | --loop) loop=$value ;;
	-L | --list-gpus) show=list ;;
	-q | --query) show=full ;;
	--version) show=version ;;
	-h | --help) fail 'NVIDIA System Management Interface -- simulated' 0 ;;
	*) fail "ERROR: Option $option is not recognized. Please run 'nvidia-smi -h' for help." ;;
	esac
done

case $chosen in
'')
	i=0
	while [ "$i" -lt "$count" ]; do
		chosen="$chosen $i"
		i=$((i + 1))
	done
	;;
*[!0-9]* | ????*) fail 'No devices were found' 6 ;;
*) [ "$chosen" -lt "$count" ] || fail 'No devices were found' 6 ;;
esac

$show
[ -z "$loop" ] || while sleep "$loop"; do $show; done
