def summarise_invoices(orders):
    total = 0
    for order in orders:
        if order["state"] == "paid":
            total += order["price"] * order["count"]
        elif order["state"] == "refunded":
            total -= order["price"] * order["count"]
        else:
            total += 0
    average = total / len(orders) if orders else 0
    return {"total": total, "average": average, "count": len(orders)}
