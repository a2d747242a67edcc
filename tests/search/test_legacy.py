"""Guessing the older encodings."""

import pytest

from letterhead.search.encodings import decode
from letterhead.search.legacy import encoding

TEXTS = {
    "german": "Die Häuser an der Straße gehören größtenteils früheren Mönchen; über den Dächern kreisen Möwen.",
    "french": "L'été dernier, nous avons passé la journée à la forêt où le garçon a trouvé un très vieux château.",
    "spanish": "Mañana por la mañana iremos al jardín; ¿vendrás también? Allí está el árbol más viejo del país.",
    "italian": "Perché è così difficile? La città è già più tranquilla, però lunedì ci sarà più gente al caffè.",
    "portuguese": "A decisão não foi fácil: as eleições trouxeram mudanças, e a população está à espera.",
    "dutch": "De financiële coördinatie van de zeeën en ruïnes; één keer geïnstalleerd, meteen geëvalueerd.",
    "swedish": "På ön växte tre små träd nära sjön, och där låg även några gamla båtar från förra året.",
    "danish": "Børnene løb over gårdspladsen på vej til søen, hvor færgen lå og ventede på de sidste gæster.",
    "polish": "Zażółć gęślą jaźń; wczoraj wieczorem dzieci znalazły w ogrodzie łódź, którą ktoś tam zostawił.",
    "czech": "Příliš žluťoučký kůň úpěl ďábelské ódy; večer jsme šli přes řeku k nejstarší části města.",
    "hungarian": "Árvíztűrő tükörfúrógép; tegnap este a gyerekek a kertben játszottak, később bementek a házba.",
    "croatian": "Ljubičasti cvijet raste iza kuće, a dječak često šeće uz rijeku i promatra čaplje što žive ondje.",
    "romanian": "Această carte a fost scrisă într-o căsuţă aşezată lângă pădure; în fiecare dimineaţă plouă.",
    "turkish": "Çocuklar bahçede oynuyor, annesi ise mutfakta çalışıyordu; akşam güneş dağın ardında kayboldu.",
    "lithuanian": "Šiandien žmonės eina į mišką grybauti, o vakare grįžta namo ir gamina vakarienę su šeima.",
    "latvian": "Šodien bērni spēlējas pagalmā, bet vecāki strādā dārzā; vakarā visi kopā ēd vakariņas pie upes.",
    "russian": "Вчера вечером мы долго гуляли по набережной, и никто не хотел возвращаться домой до темноты.",
    "ukrainian": "Учора ввечері ми довго гуляли набережною, і ніхто не хотів повертатися додому, бо їжа ще була.",
    "greek": "Άνοιξη ήρθε νωρίς φέτος· τα παιδιά έπαιζαν στην αυλή ώσπου νύχτωσε. Άλλοι έμειναν στο σπίτι.",
    "hebrew": "אתמול בערב הלכנו לאורך הנהר ואף אחד לא רצה לחזור הביתה לפני החשכה, כי מזג האוויר היה נעים מאוד.",
    "arabic": "ذهبنا أمس مساء في نزهة طويلة على ضفة النهر ولم يرغب أحد في العودة إلى البيت قبل حلول الظلام.",
    "japanese": "昨日の夜、私たちは川のほとりを長いあいだ散歩しました。暗くなるまで誰も家に帰りたがりませんでした。",
    "chinese": "昨天晚上我们沿着河边散步了很久，天黑之前谁也不想回家。孩子们在院子里玩得很高兴，大家都很开心。",
    "taiwanese": "昨天晚上我們沿著河邊散步了很久，天黑之前誰也不想回家。孩子們在院子裡玩得很高興，大家都很開心。",
    "korean": "어제 저녁 우리는 강가를 따라 오랫동안 산책했고, 어두워지기 전에는 아무도 집에 가고 싶어 하지 않았다.",
}


@pytest.mark.parametrize(
    ("language", "codec"),
    [
        *((name, "cp1252") for name in ("german", "french", "spanish", "italian", "portuguese", "dutch", "swedish")),
        *(("danish", "iso8859-15"), ("german", "iso8859-1")),
        *((name, "cp1250") for name in ("polish", "czech", "hungarian", "croatian", "romanian")),
        *((name, "iso8859-2") for name in ("polish", "czech", "hungarian", "croatian", "romanian")),
        *(("turkish", "cp1254"), ("turkish", "iso8859-9"), ("lithuanian", "cp1257"), ("latvian", "cp1257")),
        *(("russian", codec) for codec in ("cp1251", "koi8-r", "iso8859-5", "cp866")),
        *(("ukrainian", "cp1251"), ("ukrainian", "koi8-u")),
        *(("greek", "iso8859-7"), ("greek", "cp1253")),
        *(("hebrew", "cp1255"), ("arabic", "cp1256"), ("arabic", "iso8859-6")),
        *(("japanese", "shift_jis"), ("japanese", "euc_jp")),
        *(("chinese", "gb18030"), ("chinese", "gbk"), ("taiwanese", "big5"), ("korean", "euc_kr")),
    ],
)
def test_a_sentence_is_read_as_it_was_written(language: str, codec: str) -> None:
    text = TEXTS[language] if codec != "iso8859-7" else TEXTS[language].replace("’", "'")
    assert decode(text.encode(codec)) == text


@pytest.mark.parametrize("word", ["Größe", "café", "5 € each", "© 1998 Müller", "naïve — “quoted”", "señor", "10 °C"])
def test_a_word_among_ascii_is_western(word: str) -> None:
    text = f"The word is {word}.\n"
    assert decode(text.encode("cp1252")) == text


def test_the_sample_is_taken_from_where_other_bytes_than_ascii_are() -> None:
    text = "plain\n" * 100_000 + TEXTS["russian"]
    assert decode(text.encode("cp1251")) == text


@pytest.mark.parametrize(("language", "codec"), [("japanese", "shift_jis"), ("chinese", "gb18030")])
def test_a_long_text_without_line_ends_is_read(language: str, codec: str) -> None:
    text = f"{TEXTS[language]} " * 1000
    assert decode(text.encode(codec)) == text


def test_one_word_far_into_a_long_line_is_seen() -> None:
    text = "a" * 100_000 + " Größe"
    assert encoding(text.encode("cp1252")) == "cp1252"
