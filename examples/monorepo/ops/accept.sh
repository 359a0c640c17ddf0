# Unpacks the archives and asks the whole shop for one page.
shop=$(mktemp -d ../build/shop.XXXXXX)
trap 'rm -r "$shop"' EXIT
for service in catalog prices web; do
    python3 -m zipfile -e "../build/$service.zip" "$shop"
done
name=$(python3 "$shop/catalog.py" 2)
price=$(python3 "$shop/prices.py" "$name")
sh -eu "$shop/web.sh" "$name" "$price" | grep "only $price"
